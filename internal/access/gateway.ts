/** The sessions of a node as a whole: opens them, and does what the log and the operators ask. */
import type { Kick, Order, SetRooms } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { RevokedEvent } from "../auth/revocations.ts";
import type { Timer } from "../clock/clock.ts";
import { inSlices } from "../clock/slices.ts";
import { type CloseReason, closeReasonOf } from "../status/close.ts";
import type { Transport, TransportHandlers } from "../transport/transport.ts";
import type { PushIntake } from "./delivery/push-intake.ts";
import { Drain } from "./drain.ts";
import type { ConnectionLogEvents } from "./log/connection-log.ts";
import type { OtherNodes } from "./other-nodes.ts";
import { endApp, endRevoked } from "./revoking.ts";
import type { NodeState, SessionServices } from "./services.ts";
import { welcome } from "./session/handshake.ts";
import { setRooms } from "./session/rooms-order.ts";
import { Session } from "./session/session.ts";
import { isLoggedIn } from "./session/session-state.ts";

/**
 * A node that is alone sends its clients elsewhere at most this fast, and over this long at least: the
 * others have to take them in beside their own.
 */
const ISOLATED = { perSecond: 1_000, atLeastSeconds: 5 };

/** How long a client that moves elsewhere may keep the connection that it leaves. */
const REPLACED_GRACE_MS = 1_000;

export class Gateway implements ConnectionLogEvents {
  readonly #services: SessionServices;
  readonly #state: NodeState;
  readonly #pushIntake: PushIntake;
  readonly #drain: Drain;
  #lastCounter = 0;
  /** Passes over all sessions that are under way. */
  #welcoming: Timer | undefined;
  #leaving: Timer | undefined;

  constructor(
    services: SessionServices,
    state: NodeState,
    pushIntake: PushIntake,
    listen: () => OtherNodes,
  ) {
    this.#services = services;
    this.#state = state;
    this.#pushIntake = pushIntake;
    this.#drain = new Drain(services, listen);
  }

  accept(transport: Transport): TransportHandlers {
    const { metrics, table } = this.#services;
    this.#lastCounter += 1;
    const session = new Session(transport, this.#lastCounter, this.#services);
    metrics.connections += 1;
    table.add(session);
    return session;
  }

  /** Every connection has a new id, and is found under the new incarnation from now on. */
  incarnationChanged(incarnation: string): void {
    const { table, clock } = this.#services;
    this.#pushIntake.listen(incarnation);
    this.#welcoming?.cancel();
    const newest = this.#lastCounter;
    const welcomeAgain = (session: Session) => {
      // Those who came later know no other id.
      if (session.counter <= newest && isLoggedIn(session.state)) welcome(session, true);
    };
    this.#welcoming = inSlices(table, welcomeAgain, { clock });
  }

  order({ body }: Order): boolean {
    switch (body.case) {
      case "kick":
        return this.#kick(body.value);
      case "setRooms":
        return this.#setRooms(body.value);
      case "drain":
        this.drain(body.value.overMs);
        return true;
      case "undrain":
        this.#state.draining = false;
        this.#state.drainedFrom = 0;
        this.#drain.takeBack();
        return true;
      default:
        return false;
    }
  }

  /** Takes the node out of dispatch, and its clients elsewhere, spread over this long. */
  drain(overMs: number): void {
    this.#state.draining = true;
    this.#state.drainedFrom = this.#services.metrics.sessions;
    this.#drain.begin(overMs);
  }

  revoked(event: RevokedEvent): void {
    endRevoked(this.#services, event);
  }

  appDeleted(app: string): void {
    endApp(this.#services, app);
  }

  isolated(): void {
    const { table, clock } = this.#services;
    const gentle = Math.max(1, table.size / ISOLATED.atLeastSeconds);
    const perSecond = Math.min(ISOLATED.perSecond, gentle);
    const leave = (session: Session) => session.end("isolated");
    this.#leaving = inSlices(table, leave, { clock, perSecond });
  }

  reunited(): void {
    this.#leaving?.cancel();
  }

  /** Resolves when every session there was has ended. */
  endAll(reason: CloseReason): Promise<void> {
    const { table, clock } = this.#services;
    return new Promise((done) => {
      inSlices(table, (session) => session.end(reason), { clock, done });
    });
  }

  /** Ends the passes that are under way. */
  stop(): void {
    this.#welcoming?.cancel();
    this.#leaving?.cancel();
    this.#drain.stop();
  }

  #kick({ connection, code, reason }: Kick): boolean {
    const session = this.#services.table.logged(Number(connection));
    const why = closeReasonOf(code) ?? "kicked";
    if (session?.state === "draining" && why === "replaced") {
      // It was asked to connect elsewhere, and has; that it is welcome there may come to it after this.
      session.replacedAtMs ??= this.#services.wheel.now + REPLACED_GRACE_MS;
      session.reschedule();
    } else {
      session?.end(why, reason === "" ? undefined : reason);
    }
    return session !== undefined;
  }

  #setRooms(order: SetRooms): boolean {
    const session = this.#services.table.logged(Number(order.connection));
    if (session !== undefined) setRooms(session, order);
    return session !== undefined;
  }
}
