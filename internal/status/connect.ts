import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { type Code, HoldfastError } from "./errors.ts";

const CONNECT_CODES: Record<Code, ConnectCode> = {
  invalid: ConnectCode.InvalidArgument,
  unauthenticated: ConnectCode.Unauthenticated,
  expired: ConnectCode.Unauthenticated,
  forbidden: ConnectCode.PermissionDenied,
  "not-found": ConnectCode.NotFound,
  conflict: ConnectCode.Aborted,
  exhausted: ConnectCode.ResourceExhausted,
  unavailable: ConnectCode.Unavailable,
  timeout: ConnectCode.DeadlineExceeded,
  unsupported: ConnectCode.Unimplemented,
  internal: ConnectCode.Internal,
};

/**
 * What a caller of an RPC may see of an error. The text of an unforeseen one stays inside, since
 * nobody has checked what it gives away; it is the cause of the result, for the log.
 */
export function toConnectError(reason: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  if (reason instanceof HoldfastError && reason.code !== "internal") {
    return new ConnectError(
      reason.message,
      CONNECT_CODES[reason.code],
      undefined,
      undefined,
      reason,
    );
  }
  return new ConnectError("internal error", ConnectCode.Internal, undefined, undefined, reason);
}
