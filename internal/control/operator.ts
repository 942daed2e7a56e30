import { timingSafeEqual } from "node:crypto";
import type { HandlerContext } from "@connectrpc/connect";
import { bearerOf } from "../auth/bearer.ts";
import { sha256 } from "../auth/sha256.ts";
import { HoldfastError } from "../status/errors.ts";

/** Who may give orders. Without a key there is no operator. */
export class Operator {
  readonly #wanted: Buffer | undefined;

  constructor(key: string | undefined) {
    this.#wanted = key === undefined ? undefined : sha256(key);
  }

  /** @throws HoldfastError `unauthenticated` */
  require({ requestHeader }: Pick<HandlerContext, "requestHeader">): void {
    const key = bearerOf(requestHeader);
    const wanted = this.#wanted;
    if (key !== undefined && wanted !== undefined && timingSafeEqual(sha256(key), wanted)) return;
    throw new HoldfastError(
      "unauthenticated",
      'this needs the operator key (HOLDFAST_ADMIN_KEY); send "Authorization: Bearer <key>"',
    );
  }
}
