import type { CloseReason } from "../status/close.ts";
import { HoldfastError } from "../status/errors.ts";

/** The close reasons that a client earns by not speaking the protocol. */
export type ViolationReason = Extract<
  CloseReason,
  "bad-frame" | "frame-too-large" | "bad-protocol" | "not-allowed"
>;

/** What a peer sent cannot be understood or breaks a rule of the protocol. It ends the connection. */
export class ProtocolViolation extends HoldfastError {
  readonly reason: ViolationReason;

  constructor(reason: ViolationReason, message: string, options?: { cause?: unknown }) {
    super("invalid", message, options);
    this.name = "ProtocolViolation";
    this.reason = reason;
  }
}
