/**
 * Why a connection ends. The code's range tells a client what to do, so that one which does not
 * know a code still does the right thing (docs/PROTOCOL.md, checked against this table by a test):
 *
 * - 4000-4099: reconnect, after the advised time
 * - 4100-4199: get a new token from Admit, then reconnect
 * - 4200-4299: do not reconnect
 *
 * Codes are WebSocket close codes of the range for private use (RFC 6455, section 7.4.2).
 */
export const CLOSE = {
  "going-away": { code: 4000, text: "the node is stopping or being emptied" },
  "slow-consumer": { code: 4001, text: "the client reads more slowly than messages arrive for it" },
  idle: { code: 4002, text: "nothing was heard from the client for too long" },
  "login-timeout": { code: 4003, text: "no login in time" },
  overloaded: { code: 4004, text: "the node takes no more connections now" },
  isolated: { code: 4005, text: "the node has lost the rest of the system" },
  internal: { code: 4006, text: "a fault in the node" },
  "rate-limited": { code: 4007, text: "too many frames, or connections, in a short time" },

  "token-expired": { code: 4100, text: "the token has expired" },
  "token-invalid": { code: 4101, text: "the token does not verify" },

  "bad-frame": { code: 4200, text: "a frame could not be decoded or breaks a rule" },
  "frame-too-large": { code: 4201, text: "a frame is longer than allowed" },
  "not-allowed": { code: 4202, text: "a frame came in a state that does not allow it" },
  "bad-protocol": { code: 4203, text: "the connection does not speak this protocol" },
  replaced: { code: 4210, text: "the device has connected again" },
  kicked: { code: 4211, text: "the app closed the connection" },
  logout: { code: 4212, text: "the client logged out" },
} as const satisfies Record<string, { code: number; text: string }>;

export type CloseReason = keyof typeof CLOSE;

/** Ends that no Close frame tells of. They appear in the log and in presence. */
export type SilentEnd = "client-closed" | "transport-error" | "node-down";

export type EndReason = CloseReason | SilentEnd;

/** The reason of a code, or undefined for codes of nobody's. */
export function closeReasonOf(code: number): CloseReason | undefined {
  for (const [reason, entry] of Object.entries(CLOSE)) {
    if (entry.code === code) return reason as CloseReason;
  }
  return undefined;
}
