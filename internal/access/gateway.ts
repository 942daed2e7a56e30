/** The sessions of a node as a whole: opens them, and does what the log and the operators ask. */
import type { Kick, Order, SetRooms } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { type CloseReason, closeReasonOf } from "../status/close.ts";
import type { Transport, TransportHandlers } from "../transport/transport.ts";
import type { PushIntake } from "./delivery/push-intake.ts";
import { drainSessions, undrainSessions } from "./drain.ts";
import type { ConnectionLogEvents } from "./log/connection-log.ts";
import type { NodeState, SessionServices } from "./services.ts";
import { welcome } from "./session/handshake.ts";
import { Session } from "./session/session.ts";
import { isLoggedIn } from "./session/session-state.ts";

export class Gateway implements ConnectionLogEvents {
  readonly #services: SessionServices;
  readonly #state: NodeState;
  readonly #pushIntake: PushIntake;
  #lastCounter = 0;

  constructor(services: SessionServices, state: NodeState, pushIntake: PushIntake) {
    this.#services = services;
    this.#state = state;
    this.#pushIntake = pushIntake;
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
    this.#pushIntake.listen(incarnation);
    for (const session of this.#services.table) {
      if (isLoggedIn(session.state)) welcome(session, true);
    }
  }

  order({ body }: Order): void {
    switch (body.case) {
      case "kick":
        this.#kick(body.value);
        break;
      case "drain":
        this.#state.draining = true;
        drainSessions(this.#services, body.value.overMs);
        break;
      case "undrain":
        this.#state.draining = false;
        undrainSessions(this.#services);
        break;
      case "setRooms":
        this.#setRooms(body.value);
        break;
    }
  }

  isolated(): void {
    this.endAll("isolated");
  }

  endAll(reason: CloseReason): void {
    for (const session of this.#services.table) session.end(reason);
  }

  #kick({ connection, code, reason }: Kick): void {
    const session = this.#services.table.loggedIn(Number(connection));
    session?.end(closeReasonOf(code) ?? "kicked", reason === "" ? undefined : reason);
  }

  /** Left first, so that a business can swap rooms of a connection that has reached its limit. */
  #setRooms({ connection, join, leave }: SetRooms): void {
    const { table, rooms } = this.#services;
    const session = table.loggedIn(Number(connection));
    if (session === undefined) return;
    rooms.leave(session, leave);
    rooms.join(
      session,
      join.map((room) => ({ room, position: 0, epoch: 0 })),
    );
  }
}
