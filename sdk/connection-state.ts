/**
 * The states of a client's connection and every way from one to another. Pure: what a state needs
 * (a timer, a link, a request for admission) is started and stopped by connection.ts.
 *
 *     idle ─▶ admitting ─▶ connecting ─▶ logging-in ─▶ online
 *                 ▲            ▲              │           │
 *                 └── waiting ─┴──────────────┴───────────┘      any ─▶ closed
 *
 * An id names what a state waits for, so that the late answer to an earlier one changes nothing.
 * An online connection whose node is being emptied carries its `successor` through the same states,
 * and stays in use until the successor is online.
 */
import type { Admission } from "./admission.ts";
import { type Backoff, backoffDelay } from "./backoff.ts";
import { closeAction, REPLACED } from "./close-code.ts";
import type { Endpoint } from "./endpoints.ts";
import { HoldfastSdkError } from "./error.ts";

/** The way to an online connection. `attempt` counts the ones that failed since the last good time. */
export type Attempt = Waiting | Admitting | Connecting | LoggingIn;

export type ConnectionState = Idle | Attempt | Online | Closed;

export interface Idle {
  name: "idle";
}

export interface Waiting {
  name: "waiting";
  id: number;
  attempt: number;
  delayMs: number;
  /** Why there is something to wait for. */
  cause: HoldfastSdkError;
  /** Undefined: get a new one. */
  admission: Admission | undefined;
  /** Where the gateway said to go. */
  advised: readonly string[];
}

export interface Admitting {
  name: "admitting";
  id: number;
  attempt: number;
  advised: readonly string[];
}

export interface Connecting {
  name: "connecting";
  id: number;
  attempt: number;
  admission: Admission;
  url: string;
  /** What to try next when this one fails. */
  others: readonly string[];
}

/** The link is open; its id is still the one of Connecting. */
export interface LoggingIn extends Omit<Connecting, "name"> {
  name: "logging-in";
}

/** Logged in, on the same link. */
export interface Online {
  name: "online";
  id: number;
  attempt: number;
  admission: Admission;
  url: string;
  session: Session;
  sinceMs: number;
  successor: Attempt | undefined;
}

export interface Closed {
  name: "closed";
  cause: HoldfastSdkError;
}

/** What Welcome said. */
export interface Session {
  connectionId: string;
  node: string;
  heartbeatMs: number;
  /** True when it continues an earlier connection. */
  resumed: boolean;
  /** 0: not said. */
  maxFrameBytes: number;
  /** The gateway closes the connection after this long without a frame from here. 0: not said. */
  idleMs: number;
}

/** How a link ended, or why it was given up. */
export interface End {
  code: number;
  reason: string;
  afterMs: number;
  /** Where the gateway said to go. */
  advised: readonly string[];
}

export type ConnectionEvent =
  | { type: "start" }
  /** Waiting is over. */
  | { type: "due"; id: number }
  /** The device has a network again, so waiting has lost its reason. */
  | { type: "network-back" }
  | { type: "admitted"; id: number; admission: Admission }
  | { type: "admission-failed"; id: number; error: HoldfastSdkError }
  | { type: "opened"; id: number }
  | { type: "welcomed"; id: number; session: Session }
  /** A newer token has been sent on this connection. */
  | { type: "refreshed"; id: number; admission: Admission }
  | { type: "draining"; id: number; withinMs: number; advised: readonly string[] }
  | { type: "ended"; id: number; end: End }
  | { type: "close" };

/** What transitions need besides the state. */
export interface Rules {
  nowMs: number;
  random: () => number;
  nextId: () => number;
  backoff: Backoff;
  /** The URLs to try, in order. */
  order(advised: readonly string[], endpoints: readonly Endpoint[]): string[];
}

/** A connection that lasted this long ends a series of failures. */
const STABLE_MS = 10_000;
/** A token that expires sooner is not worth connecting with. */
const TOKEN_MARGIN_MS = 10_000;

export function transition(
  state: ConnectionState,
  event: ConnectionEvent,
  rules: Rules,
): ConnectionState {
  if (state.name === "closed") return state;
  if (event.type === "close") {
    return { name: "closed", cause: new HoldfastSdkError("closed", "closed by the application") };
  }
  switch (state.name) {
    case "idle":
      return event.type === "start" ? admitting(0, [], rules) : state;
    case "online":
      return stepOnline(state, event, rules);
    default:
      return stepAttempt(state, event, rules);
  }
}

function stepAttempt(
  state: Attempt,
  event: ConnectionEvent,
  rules: Rules,
): Attempt | Online | Closed {
  if (event.type === "network-back") {
    return state.name === "waiting" ? proceed(state, rules) : state;
  }
  if (!("id" in event) || event.id !== state.id) return state;
  switch (state.name) {
    case "waiting":
      return event.type === "due" ? proceed(state, rules) : state;
    case "admitting":
      return stepAdmitting(state, event, rules);
    case "connecting":
      if (event.type === "opened") return { ...state, name: "logging-in" };
      return event.type === "ended" ? attemptFailed(state, event.end, rules) : state;
    case "logging-in":
      if (event.type === "welcomed") return online(state, event.session, rules);
      return event.type === "ended" ? attemptFailed(state, event.end, rules) : state;
  }
}

function stepAdmitting(state: Admitting, event: ConnectionEvent, rules: Rules): Attempt | Closed {
  if (event.type === "admission-failed") {
    if (event.error.final) return { name: "closed", cause: event.error };
    return waiting({ attempt: state.attempt, cause: event.error }, rules);
  }
  if (event.type !== "admitted") return state;
  const { admission } = event;
  const [url, ...others] = rules.order(state.advised, admission.endpoints);
  if (url === undefined) {
    const cause = new HoldfastSdkError("admission", "no access point that this platform can use");
    return waiting({ attempt: state.attempt, cause }, rules);
  }
  return connecting(state.attempt, admission, url, others, rules);
}

function stepOnline(state: Online, event: ConnectionEvent, rules: Rules): ConnectionState {
  if ("id" in event && event.id === state.id) {
    switch (event.type) {
      case "welcomed":
        return { ...state, session: event.session };
      case "refreshed":
        return { ...state, admission: event.admission };
      case "draining":
        return state.successor === undefined ? startMove(state, event, rules) : state;
      case "ended":
        return onlineEnded(state, event.end, rules);
      default:
        return state;
    }
  }
  if (state.successor === undefined) return state;
  const successor = stepAttempt(state.successor, event, rules);
  if (successor === state.successor) return state;
  switch (successor.name) {
    case "online":
      return successor;
    case "closed":
      // This connection is still good; when it ends, its own reason counts.
      return { ...state, successor: undefined };
    default:
      return { ...state, successor };
  }
}

function onlineEnded(state: Online, end: End, rules: Rules): ConnectionState {
  const { successor } = state;
  // The gateway lets a device have one connection, so the successor's login may end this one.
  const replacedBySuccessor = end.code === REPLACED && successor?.name === "logging-in";
  if (successor !== undefined && (replacedBySuccessor || closeAction(end.code) !== "stop")) {
    return successor;
  }
  const stable = rules.nowMs - state.sinceMs >= STABLE_MS;
  return afterEnd(end, stable ? 0 : state.attempt, state.admission, rules);
}

/** A connection elsewhere, at a moment of its own within the first half of the time that is left. */
function startMove(
  state: Online,
  event: { withinMs: number; advised: readonly string[] },
  rules: Rules,
): Online {
  const successor: Waiting = {
    name: "waiting",
    id: rules.nextId(),
    attempt: 0,
    delayMs: (rules.random() * event.withinMs) / 2,
    cause: new HoldfastSdkError("lost", "the node is being emptied"),
    // Without advice, Admit knows which nodes are left.
    admission: event.advised.length > 0 ? state.admission : undefined,
    advised: event.advised,
  };
  return { ...state, successor };
}

function attemptFailed(state: Connecting | LoggingIn, end: End, rules: Rules): Attempt | Closed {
  const { attempt, admission, others } = state;
  const advice = end.afterMs > 0 || end.advised.length > 0;
  const [next, ...rest] = others;
  if (closeAction(end.code) === "reconnect" && !advice && next !== undefined) {
    return connecting(attempt, admission, next, rest, rules);
  }
  // All have been tried: Admit may know better ones by now.
  return afterEnd(end, attempt, advice ? admission : undefined, rules);
}

function afterEnd(
  end: End,
  attempt: number,
  admission: Admission | undefined,
  rules: Rules,
): Waiting | Closed {
  const action = closeAction(end.code);
  const message = end.reason || `the connection ended with code ${end.code}`;
  if (action === "stop") {
    const cause = new HoldfastSdkError("closed", message, { closeCode: end.code, final: true });
    return { name: "closed", cause };
  }
  const cause = new HoldfastSdkError("lost", message, { closeCode: end.code });
  const { afterMs, advised } = end;
  if (action === "readmit") return waiting({ attempt, cause, afterMs }, rules);
  return waiting({ attempt, cause, afterMs, admission, advised }, rules);
}

function waiting(
  how: {
    attempt: number;
    cause: HoldfastSdkError;
    afterMs?: number;
    admission?: Admission | undefined;
    advised?: readonly string[];
  },
  rules: Rules,
): Waiting {
  return {
    name: "waiting",
    id: rules.nextId(),
    attempt: how.attempt + 1,
    delayMs: (how.afterMs ?? 0) + backoffDelay(rules.backoff, how.attempt, rules.random),
    cause: how.cause,
    admission: how.admission,
    advised: how.advised ?? [],
  };
}

function proceed(state: Waiting, rules: Rules): Admitting | Connecting {
  const { attempt, admission, advised } = state;
  if (admission !== undefined && admission.expiresAtMs - rules.nowMs > TOKEN_MARGIN_MS) {
    const [url, ...others] = rules.order(advised, admission.endpoints);
    if (url !== undefined) return connecting(attempt, admission, url, others, rules);
  }
  return admitting(attempt, advised, rules);
}

function admitting(attempt: number, advised: readonly string[], rules: Rules): Admitting {
  return { name: "admitting", id: rules.nextId(), attempt, advised };
}

function connecting(
  attempt: number,
  admission: Admission,
  url: string,
  others: readonly string[],
  rules: Rules,
): Connecting {
  return { name: "connecting", id: rules.nextId(), attempt, admission, url, others };
}

function online(state: LoggingIn, session: Session, rules: Rules): Online {
  const { id, attempt, admission, url } = state;
  return {
    name: "online",
    id,
    attempt,
    admission,
    url,
    session,
    sinceMs: rules.nowMs,
    successor: undefined,
  };
}
