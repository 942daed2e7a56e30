import type { ServerFrame } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Admit } from "./admission.ts";
import type { Backoff } from "./backoff.ts";
import { LOST } from "./close-code.ts";
import {
  type Attempt,
  type ConnectionEvent,
  type ConnectionState,
  type Online,
  type Rules,
  type Session,
  transition,
} from "./connection-state.ts";
import type { ClientBody, Encoding } from "./encoding.ts";
import { orderEndpoints } from "./endpoints.ts";
import { HoldfastSdkError } from "./error.ts";
import { Heartbeat } from "./heartbeat.ts";
import { badFrame, type FrameBody, LinkSet, type Sent } from "./link-set.ts";
import { closeEvent, drainEvent, sessionOf } from "./session.ts";
import type { Surroundings } from "./surroundings.ts";
import { keepTokenFresh } from "./token-refresh.ts";
import type { Transport } from "./transport.ts";

export interface ConnectionOptions {
  admit: Admit;
  transports: readonly Transport[];
  encoding: Encoding;
  backoff: Backoff;
  connectTimeoutMs: number;
  loginTimeoutMs: number;
  surroundings: Surroundings;
  /** The login frame, for a token. */
  login(token: string): ClientBody;
  listener: ConnectionListener;
}

export interface ConnectionListener {
  stateChanged(before: ConnectionState, state: ConnectionState): void;
  /** Logged in on a new link; everything that belongs to the old one is gone. */
  online(session: Session): void;
  offline(): void;
  /**
   * Frames of the online link, besides those that are about the connection itself. Throws when what
   * a frame holds cannot be read.
   */
  frame(frame: ServerFrame): void;
  beat(rttMs: number, intervalMs: number): void;
  traced(direction: "in" | "out", body: FrameBody, bytes: number): void;
}

type Activity = Attempt | Online;

/**
 * Runs the state machine of connection-state.ts. Each state says what goes on in it; after every
 * transition, what belongs to no state any more is stopped, and what is new is started.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #links: LinkSet;
  #state: ConnectionState = { name: "idle" };
  /** The stop functions of what goes on now, by state name and id. */
  readonly #running = new Map<string, () => void>();
  #heartbeat: Heartbeat | undefined;
  readonly #queue: ConnectionEvent[] = [];
  #busy = false;
  #lastId = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#links = new LinkSet({
      transports: options.transports,
      encoding: options.encoding,
      opened: (id) => this.#dispatch({ type: "opened", id }),
      ended: (id, code, reason) => this.#ended(id, code, reason),
      frame: (id, frame) => this.#receive(id, frame),
      traced: (direction, body, bytes) => options.listener.traced(direction, body, bytes),
    });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Does nothing on a connection that was closed meanwhile. */
  start(): void {
    if (this.#state.name !== "idle") return;
    const { surroundings } = this.#options;
    const stop = surroundings.watch(
      () => this.#heartbeat?.probe(),
      () => {
        this.#heartbeat?.probe();
        this.#dispatch({ type: "network-back" });
      },
    );
    this.#running.set("watch", stop);
    this.#dispatch({ type: "start" });
  }

  /** Sends on the online link. */
  send(body: ClientBody): Sent {
    if (this.#state.name !== "online") return "offline";
    return this.#links.send(this.#state.id, body, this.#state.session.maxFrameBytes);
  }

  /** Logs out when there is a connection. Resolves when every link has ended. */
  async close(): Promise<void> {
    this.send({ case: "logout", value: {} });
    this.#dispatch({ type: "close" });
    await this.#links.drained(this.#options.surroundings);
  }

  #dispatch(event: ConnectionEvent): void {
    this.#queue.push(event);
    // What a transition starts may report at once; that waits until the transition is done.
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const before = this.#state;
        this.#state = transition(before, next, this.#rules());
        if (this.#state !== before) this.#reconcile(before);
      }
    } finally {
      this.#busy = false;
    }
  }

  #rules(): Rules {
    const { surroundings, backoff, transports } = this.#options;
    const accepts = (url: string) => transports.some((transport) => transport.accepts(url));
    return {
      nowMs: surroundings.now(),
      random: surroundings.random,
      nextId: () => ++this.#lastId,
      backoff,
      order: (advised, endpoints) =>
        orderEndpoints(advised, endpoints, accepts, surroundings.random),
    };
  }

  #reconcile(before: ConnectionState): void {
    const state = this.#state;
    const wanted = new Map(activities(state).map((activity) => [keyOf(activity), activity]));
    for (const [key, stop] of this.#running) {
      if (wanted.has(key) || (key === "watch" && state.name !== "closed")) continue;
      this.#running.delete(key);
      stop();
    }
    this.#links.keepOnly(new Set([...wanted.values()].map(({ id }) => id)));
    const { listener } = this.#options;
    const newLink = state.name === "online" && (before.name !== "online" || before.id !== state.id);
    if (before.name === "online" && (newLink || state.name !== "online")) listener.offline();
    for (const [key, activity] of wanted) {
      if (!this.#running.has(key)) this.#running.set(key, this.#begin(activity));
    }
    if (newLink) listener.online(state.session);
    listener.stateChanged(before, state);
  }

  /** Starts what goes on in a state; returns what stops it. */
  #begin(activity: Activity): () => void {
    const { surroundings, connectTimeoutMs, loginTimeoutMs, login } = this.#options;
    const { id } = activity;
    switch (activity.name) {
      case "waiting":
        return surroundings.after(activity.delayMs, () => this.#dispatch({ type: "due", id }));
      case "admitting":
        return this.#admit(id);
      case "connecting":
        this.#links.open(id, activity.url);
        return surroundings.after(connectTimeoutMs, () =>
          this.#ended(id, LOST, `no connection to ${activity.url} in time`),
        );
      case "logging-in":
        this.#links.send(id, login(activity.admission.token), 0);
        return surroundings.after(loginTimeoutMs, () =>
          this.#ended(id, LOST, `no answer to the login at ${activity.url} in time`),
        );
      case "online":
        return this.#keepAlive(activity);
    }
  }

  #admit(id: number): () => void {
    const { surroundings, connectTimeoutMs, admit } = this.#options;
    const stopping = new AbortController();
    const failed = (reason: unknown) =>
      this.#dispatch({ type: "admission-failed", id, error: admissionError(reason) });
    const cancel = surroundings.after(connectTimeoutMs, () =>
      failed("Admit did not answer in time"),
    );
    admit(stopping.signal).then(
      (admission) => this.#dispatch({ type: "admitted", id, admission }),
      failed,
    );
    return () => {
      cancel();
      stopping.abort();
    };
  }

  #keepAlive({ id, session, admission }: Online): () => void {
    const { surroundings, backoff, admit, listener } = this.#options;
    const heartbeat = new Heartbeat({
      surroundings,
      heartbeatMs: session.heartbeatMs,
      idleMs: session.idleMs,
      ping: (foreground) => this.#links.send(id, { case: "ping", value: { foreground } }, 0),
      beat: (rttMs, nextMs) => listener.beat(rttMs, nextMs),
      dead: () => this.#ended(id, LOST, "the heartbeat went unanswered"),
    });
    this.#heartbeat = heartbeat;
    const stopRefreshing = keepTokenFresh({
      admission,
      admit,
      surroundings,
      backoff,
      refreshed: (newer) => {
        this.#links.send(id, { case: "refresh", value: { token: newer.token } }, 0);
        this.#dispatch({ type: "refreshed", id, admission: newer });
      },
    });
    return () => {
      heartbeat.stop();
      stopRefreshing();
    };
  }

  #receive(id: number, frame: ServerFrame): void {
    const { body } = frame;
    switch (body.case) {
      case "welcome":
        this.#dispatch({ type: "welcomed", id, session: sessionOf(body.value) });
        return;
      case "close":
        this.#dispatch(closeEvent(id, body.value));
        return;
      case "drain":
        this.#dispatch(drainEvent(id, body.value));
        return;
    }
    if (this.#state.name !== "online" || this.#state.id !== id) return;
    if (body.case === "pong") {
      this.#heartbeat?.pong(body.value.heartbeatSeconds);
      return;
    }
    try {
      this.#options.listener.frame(frame);
    } catch (error) {
      this.#ended(id, LOST, badFrame(error));
    }
  }

  #ended(id: number, code: number, reason: string): void {
    this.#dispatch({ type: "ended", id, end: { code, reason, afterMs: 0, advised: [] } });
  }
}

/** What goes on in a state. */
function activities(state: ConnectionState): Activity[] {
  if (state.name === "idle" || state.name === "closed") return [];
  if (state.name === "online" && state.successor !== undefined) return [state, state.successor];
  return [state];
}

function keyOf(activity: Activity): string {
  return `${activity.name}/${activity.id}`;
}

function admissionError(reason: unknown): HoldfastSdkError {
  if (reason instanceof HoldfastSdkError) return reason;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new HoldfastSdkError("admission", message, { cause: reason });
}
