/** Errors of the NATS client and of JetStream as the gateway's own. */
import { JetStreamApiError, JetStreamError } from "@nats-io/jetstream";
import {
  AuthorizationError,
  ClosedConnectionError,
  ConnectionError,
  DrainingConnectionError,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import { type Code, HoldfastError } from "../status/errors.ts";
import type { AckError } from "./pub-ack.ts";

/** JetStream's own error numbers (`err_code`), as far as somebody decides by them. */
export const JS = {
  maxPayload: 10054,
  maxHeaders: 10097,
  noMessageFound: 10037,
  sequenceNotFound: 10043,
  wrongLastSequence: 10071,
  /** The same, where another writer's message to the subject is still on its way. */
  wrongLastSequenceInFlight: 10164,
  streamNotFound: 10059,
  streamNameInUse: 10058,
  notEnabled: 10076,
  notEnabledForAccount: 10039,
  replicasUnsupported: 10074,
  insufficientStorage: 10047,
  /** No server of the cluster can take the stream; the description says why. */
  noSuitablePeers: 10005,
  /** The server has no room for a message, whatever its stream may hold. */
  insufficientResources: 10023,
  /** The account has none. */
  accountResourcesExceeded: 10002,
  storeFailed: 10077,
} as const;

const NOT_FOUND = 404;

/** `reason` as a HoldfastError whose message starts with what was being done. */
export function natsError(doing: string, reason: unknown): HoldfastError {
  if (reason instanceof HoldfastError) return reason;
  const detail = reason instanceof Error ? reason.message : String(reason);
  return new HoldfastError(codeOf(reason), `${doing}: ${detail}`, { cause: reason });
}

/** JetStream's error number of a failed API call, undefined for every other error. */
export function apiErrorCode(reason: unknown): number | undefined {
  return reason instanceof JetStreamApiError ? reason.code : undefined;
}

/** Whether there is no store left for a stream of this size. */
export function isNoRoom(reason: unknown): boolean {
  if (!(reason instanceof JetStreamApiError)) return false;
  const { code, message } = reason;
  if (code === JS.insufficientStorage || code === JS.accountResourcesExceeded) return true;
  return code === JS.noSuitablePeers && message.includes("insufficient storage");
}

/** Whether there was no room for a message of any subject: in its stream, its server or its account. */
export function isStoreFull({ code, description }: AckError): boolean {
  if (code === JS.storeFailed) return /maximum (bytes|messages) exceeded/.test(description);
  return NO_ROOM.includes(code);
}

const NO_ROOM: readonly number[] = [
  JS.insufficientResources,
  JS.insufficientStorage,
  JS.accountResourcesExceeded,
];

/** Whether nobody listened to a request: no such service, or not at present. */
export function isNoResponders(reason: unknown): boolean {
  return (
    reason instanceof NoRespondersError ||
    (reason instanceof RequestError && reason.isNoResponders()) ||
    (reason instanceof Error && isNoResponders(reason.cause))
  );
}

/** What a direct read says when no message is there. */
export function isNothingFound(reason: unknown): boolean {
  return reason instanceof JetStreamError && "code" in reason && reason.code === NOT_FOUND;
}

function codeOf(reason: unknown): Code {
  // test/bus/messages.test.ts and connect.test.ts bring these about on a real server.
  if (reason instanceof TimeoutError) return "timeout";
  if (isNoResponders(reason)) return "unavailable";
  if (reason instanceof AuthorizationError) return "unauthenticated";
  if (reason instanceof UserAuthenticationExpiredError) return "unauthenticated";
  if (reason instanceof PermissionViolationError) return "forbidden";
  if (reason instanceof JetStreamApiError) return codeOfApiError(reason);
  if (isAway(reason)) return "unavailable";
  return "internal";
}

function codeOfApiError(error: JetStreamApiError): Code {
  switch (error.code) {
    case JS.streamNotFound:
      return "not-found";
    case JS.notEnabled:
    case JS.notEnabledForAccount:
    case JS.replicasUnsupported:
      return "unsupported";
    case JS.insufficientStorage:
    case JS.insufficientResources:
    case JS.accountResourcesExceeded:
      return "exhausted";
    case JS.streamNameInUse:
    case JS.wrongLastSequence:
      return "conflict";
    default:
      return error.status >= 500 ? "unavailable" : "internal";
  }
}

function isAway(reason: unknown): boolean {
  return (
    reason instanceof ConnectionError ||
    reason instanceof ClosedConnectionError ||
    reason instanceof DrainingConnectionError ||
    reason instanceof RequestError ||
    reason instanceof JetStreamError ||
    // Errors of sockets and of name resolution.
    (reason instanceof Error && "syscall" in reason)
  );
}
