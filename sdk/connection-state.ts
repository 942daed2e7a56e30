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

export interface Waiting extends Tried {
  name: "waiting";
  id: number;
  attempt: number;
  delayMs: number;
  /** The gateway has said how long, so nothing but time ends it. */
  told: boolean;
  /** Why there is something to wait for. */
  cause: HoldfastSdkError;
  /** Undefined: get a new one. */
  admission: Admission | undefined;
  /** Where the gateway said to go. */
  advised: readonly string[];
}

export interface Admitting extends Tried {
  name: "admitting";
  id: number;
  attempt: number;
  advised: readonly string[];
}

/** What is known from the attempts that failed since the last good time. */
interface Tried {
  /** Access points that could not be reached: the last to be tried again. */
  failed: readonly string[];
  /** Of use when Admit cannot be asked. */
  former: Admission | undefined;
}

export interface Connecting {
  name: "connecting";
  id: number;
  attempt: number;
  admission: Admission;
  url: string;
  failed: readonly string[];
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
  /** The device has a network again, so waiting may have lost its reason. */
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

const FRESH = { attempt: 0, failed: [], former: undefined };
/** A connection that lasted this long ends a series of failures. */
const STABLE_MS = 10_000;
/** Devices whose network comes back together must not come back together. */
const NETWORK_BACK_MS = 1_000;
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
      return event.type === "start" ? admitting({ ...FRESH, advised: [] }, rules) : state;
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
    return state.name === "waiting" ? sooner(state, rules) : state;
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
    const { error: cause } = event;
    if (cause.final) return { name: "closed", cause };
    const afterMs = cause.retryAfterMs ?? 0;
    return waiting({ ...state, cause, afterMs, admission: state.former }, rules);
  }
  if (event.type !== "admitted") return state;
  const { admission } = event;
  if (admission.afterMs > 0) return takingTurn(state, admission, rules);
  const connecting = connectingWith(admission, state, rules);
  if (connecting !== undefined) return connecting;
  const cause = new HoldfastSdkError("admission", "no access point that this platform can use");
  return waiting({ ...state, cause }, rules);
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
  const { admission } = state;
  const attempt = stable ? 0 : state.attempt;
  return afterEnd(end, { attempt, failed: [], former: admission, admission }, rules);
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
    told: true,
    cause: new HoldfastSdkError("lost", "the node is being emptied"),
    // Without advice, Admit knows which nodes are left.
    admission: event.advised.length > 0 ? state.admission : undefined,
    advised: event.advised,
    failed: [],
    former: state.admission,
  };
  return { ...state, successor };
}

/**
 * What comes next is left to Admit, which knows the nodes that are there and when it is this device's
 * turn: a browser cannot read why its connection was refused.
 */
function attemptFailed(state: Connecting | LoggingIn, end: End, rules: Rules): Attempt | Closed {
  const { attempt, admission, url } = state;
  const advice = end.afterMs > 0 || end.advised.length > 0;
  const failed = advice ? state.failed : [...state.failed, url];
  const next = advice ? admission : undefined;
  return afterEnd(end, { attempt, failed, former: admission, admission: next }, rules);
}

function afterEnd(
  end: End,
  about: Tried & { attempt: number; admission: Admission | undefined },
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
  if (action === "readmit") {
    return waiting({ ...about, admission: undefined, former: undefined, cause, afterMs }, rules);
  }
  return waiting({ ...about, cause, afterMs, advised }, rules);
}

function waiting(
  how: Tried & {
    attempt: number;
    cause: HoldfastSdkError;
    afterMs?: number;
    admission?: Admission | undefined;
    advised?: readonly string[];
  },
  rules: Rules,
): Waiting {
  const { attempt, failed, former, cause, afterMs = 0 } = how;
  return {
    name: "waiting",
    id: rules.nextId(),
    attempt: attempt + 1,
    delayMs: afterMs + backoffDelay(rules.backoff, attempt, rules.random),
    told: afterMs > 0,
    cause,
    admission: how.admission,
    advised: how.advised ?? [],
    failed,
    former,
  };
}

/** Admitted, and given a place in a queue. Nothing has failed. */
function takingTurn(state: Admitting, admission: Admission, rules: Rules): Waiting {
  return {
    ...state,
    name: "waiting",
    id: rules.nextId(),
    delayMs: admission.afterMs,
    told: true,
    cause: new HoldfastSdkError("admission", "the gateway takes this device in its turn"),
    admission: { ...admission, afterMs: 0 },
  };
}

/** A wait of the SDK's own choice is over soon; one that the gateway asked for is kept. */
function sooner(state: Waiting, rules: Rules): Waiting {
  if (state.told) return state;
  const delayMs = Math.min(state.delayMs, rules.random() * NETWORK_BACK_MS);
  return { ...state, id: rules.nextId(), delayMs };
}

function proceed(state: Waiting, rules: Rules): Admitting | Connecting {
  const { admission } = state;
  if (admission !== undefined && admission.expiresAtMs - rules.nowMs > TOKEN_MARGIN_MS) {
    const connecting = connectingWith(admission, state, rules);
    if (connecting !== undefined) return connecting;
  }
  return admitting(state, rules);
}

function admitting(
  about: Tried & { attempt: number; advised: readonly string[] },
  rules: Rules,
): Admitting {
  const { attempt, advised, failed, former } = about;
  return { name: "admitting", id: rules.nextId(), attempt, advised, failed, former };
}

/** Undefined: none of its access points can be used on this platform. */
function connectingWith(
  admission: Admission,
  about: { attempt: number; advised: readonly string[]; failed: readonly string[] },
  rules: Rules,
): Connecting | undefined {
  const { attempt, advised, failed } = about;
  const urls = rules.order(advised, admission.endpoints);
  const url = urls.find((one) => !failed.includes(one)) ?? urls[0];
  if (url === undefined) return undefined;
  return { name: "connecting", id: rules.nextId(), attempt, admission, url, failed };
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
