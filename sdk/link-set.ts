import type { ServerFrame } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { LOST } from "./close-code.ts";
import type { ClientBody, Encoding } from "./encoding.ts";
import { utf8Length } from "./id.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Link, Transport } from "./transport.ts";

/** How long a closing link may take. */
const CLOSE_TIMEOUT_MS = 1_000;

export interface LinkSetOptions {
  transports: readonly Transport[];
  encoding: Encoding;
  opened(id: number): void;
  /** The link ended, could not be opened, or broke the protocol. */
  ended(id: number, code: number, reason: string): void;
  frame(id: number, frame: ServerFrame): void;
  traced(direction: "in" | "out", body: FrameBody, bytes: number): void;
}

export type FrameBody = ServerFrame["body"] | ClientBody;

/** `too-large`: longer than the gateway takes, and it would end the connection over it. */
export type Sent = "sent" | "offline" | "too-large";

/** The links of a connection, by the id of their state: frames above, bytes below. */
export class LinkSet {
  readonly #options: LinkSetOptions;
  readonly #links = new Map<number, Link>();
  /** Every link that has not ended, also those that were closed here. */
  #unfinished = 0;
  #allFinished: () => void = () => {};

  constructor(options: LinkSetOptions) {
    this.#options = options;
  }

  open(id: number, url: string): void {
    const { transports, encoding, opened, ended } = this.#options;
    const transport = transports.find((candidate) => candidate.accepts(url));
    try {
      if (transport === undefined) throw new TypeError(`no transport for ${url}`);
      const link = transport.open(url, encoding.subprotocol, {
        opened: () => this.#links.has(id) && opened(id),
        frame: (data) => this.#receive(id, data),
        closed: (code, reason) => {
          this.#finished();
          if (this.#links.delete(id)) ended(id, code, reason);
        },
      });
      this.#unfinished += 1;
      this.#links.set(id, link);
    } catch (error) {
      ended(id, LOST, error instanceof Error ? error.message : String(error));
    }
  }

  /** `limit` in bytes, 0 for none. */
  send(id: number, body: ClientBody, limit: number): Sent {
    const link = this.#links.get(id);
    if (link === undefined) return "offline";
    const data = this.#options.encoding.encode(body);
    const bytes = byteLength(data);
    if (limit > 0 && bytes > limit) return "too-large";
    link.send(data);
    this.#options.traced("out", body, bytes);
    return "sent";
  }

  /** Closes the other links; nothing more is heard of them. */
  keepOnly(ids: ReadonlySet<number>): void {
    for (const [id, link] of this.#links) {
      if (ids.has(id)) continue;
      this.#links.delete(id);
      link.close();
    }
  }

  /** Resolves when every link has ended, or has had time enough to. */
  drained(surroundings: Surroundings): Promise<void> {
    if (this.#unfinished === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = surroundings.after(CLOSE_TIMEOUT_MS, resolve);
      this.#allFinished = () => {
        cancel();
        resolve();
      };
    });
  }

  #finished(): void {
    this.#unfinished -= 1;
    if (this.#unfinished === 0) this.#allFinished();
  }

  #receive(id: number, data: Uint8Array | string): void {
    if (!this.#links.has(id)) return;
    let frame: ServerFrame;
    try {
      frame = this.#options.encoding.decode(data);
    } catch (error) {
      this.#options.ended(id, LOST, badFrame(error));
      return;
    }
    this.#options.traced("in", frame.body, byteLength(data));
    this.#options.frame(id, frame);
  }
}

function byteLength(data: Uint8Array | string): number {
  return typeof data === "string" ? utf8Length(data) : data.byteLength;
}

export function badFrame(error: unknown): string {
  const why = error instanceof Error ? error.message : String(error);
  return `the gateway sent what is no frame: ${why}`;
}
