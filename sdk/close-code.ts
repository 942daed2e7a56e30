/** What a close code asks of a client. The ranges are the contract; new codes keep to them. */
export type CloseAction =
  /** Connect again, after the advised time. */
  | "reconnect"
  /** Get a new token, then connect again. */
  | "readmit"
  /** Stay away. */
  | "stop";

/** The device has connected again: the one code with a meaning of its own here, see `stepOnline`. */
export const REPLACED = 4210;

/** The connection broke without a word (RFC 6455, 7.4.1); also used for what the SDK itself gives up. */
export const LOST = 1006;

export function closeAction(code: number): CloseAction {
  if (code >= 4100 && code <= 4199) return "readmit";
  if (code >= 4200 && code <= 4299) return "stop";
  return "reconnect";
}
