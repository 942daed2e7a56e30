/**
 * The life of a connection, as a table and two functions. docs/PROTOCOL.md has the same table, and
 * a test compares them.
 */
import type { ClientBody } from "../../wire/codec.ts";

export type SessionState = "awaiting-login" | "logging-in" | "active" | "draining" | "closed";

export type FrameName = ClientBody["case"];

/** What may happen to a session. */
export type SessionEvent = "login" | "welcomed" | "drain" | "undrain" | "end";

const WHILE_LOGGED_IN: readonly FrameName[] = [
  "ping",
  "uplink",
  "join",
  "leave",
  "ack",
  "refresh",
  "logout",
];

/**
 * The frames a client may send. In `draining` all of them: what was sent before the client could
 * know of it must not end the connection.
 */
export const ALLOWED: Readonly<Record<SessionState, readonly FrameName[]>> = {
  "awaiting-login": ["login"],
  "logging-in": ["ping", "logout"],
  active: WHILE_LOGGED_IN,
  draining: WHILE_LOGGED_IN,
  closed: [],
};

const TRANSITIONS: Readonly<
  Record<SessionState, Readonly<Partial<Record<SessionEvent, SessionState>>>>
> = {
  "awaiting-login": { login: "logging-in", end: "closed" },
  "logging-in": { welcomed: "active", end: "closed" },
  active: { drain: "draining", end: "closed" },
  draining: { undrain: "active", end: "closed" },
  closed: {},
};

export function allows(state: SessionState, frame: FrameName): boolean {
  return ALLOWED[state].includes(frame);
}

/** The state after the event, or undefined when the event does not happen in this state. */
export function next(state: SessionState, event: SessionEvent): SessionState | undefined {
  return TRANSITIONS[state][event];
}

/** Whether messages may be sent to it. */
export function isLoggedIn(state: SessionState): boolean {
  return state === "active" || state === "draining";
}
