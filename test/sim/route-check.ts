import type { Entry } from "../../internal/bus/contract.ts";
import type { BucketName } from "../../streams/layout.ts";
import { decodeJson, type Route } from "../../streams/records.ts";
import type { WriteObserver } from "./broker.ts";

export interface RouteCheckOptions {
  violate(text: string): void;
  /** Whether a client is connected under this connection id at this moment. */
  isOpen(connection: string): boolean;
  /** Whether the log of any partition says that this incarnation is over. */
  isDead(incarnation: string): boolean;
}

/**
 * What must hold of every route that is written, since the digests would in the end repair, and so
 * hide, much of what goes wrong: a device never goes offline while the connection that its route
 * named is there, and a connection that has ended never comes back.
 */
export class RouteCheck implements WriteObserver {
  readonly #options: RouteCheckOptions;
  readonly #ended = new Set<string>();

  constructor(options: RouteCheckOptions) {
    this.#options = options;
  }

  refused(): void {}

  reverted(): void {}

  written(bucket: BucketName, { key, value }: Entry): void {
    if (bucket !== "hf_route" || value === undefined) return;
    const { violate, isOpen, isDead } = this.#options;
    const { online, connection, node, reason } = decodeJson<Route>(value);
    if (online) {
      if (this.#ended.has(connection)) violate(`${key}: ${connection} had ended, and came back`);
      return;
    }
    this.#ended.add(connection);
    if (reason === "node-down") {
      if (!isDead(node)) violate(`${key}: ${node} is not dead`);
    } else if (isOpen(connection) && !isDead(node)) {
      violate(`${key}: went offline (${reason}) while ${connection} was there`);
    }
  }

  /** An operator has emptied the bucket: the log may be folded from its beginning once more. */
  emptied(): void {
    this.#ended.clear();
  }
}
