import { create } from "@bufbuild/protobuf";
import { DrainSchema, ReconnectSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Timer } from "../clock/clock.ts";
import { inSlices } from "../clock/slices.ts";
import { SharedFrame } from "../wire/shared-frame.ts";
import type { SessionServices } from "./services.ts";
import type { Session } from "./session/session.ts";

/** Empties a node slowly. */
export class Drain {
  readonly #services: SessionServices;
  #pass: Timer | undefined;

  constructor(services: SessionServices) {
    this.#services = services;
  }

  /**
   * Asks every client to leave, each within a time of its own, so that they arrive elsewhere spread
   * over `overMs`. Who has not left by then is closed.
   */
  begin(overMs: number): void {
    const { random } = this.#services;
    this.#overAll((session) => ask(session, Math.ceil(random() * overMs)));
  }

  /** Those that have not left yet may stay. */
  takeBack(): void {
    this.#overAll((session) => {
      if (session.advance("undrain")) session.drainedAtMs = undefined;
    });
  }

  stop(): void {
    this.#pass?.cancel();
  }

  #overAll(work: (session: Session) => void): void {
    const { table, clock } = this.#services;
    this.#pass?.cancel();
    this.#pass = inSlices(table, work, { clock });
  }
}

function ask(session: Session, withinMs: number): void {
  if (!session.advance("drain")) return;
  session.drainedAtMs = session.services.wheel.now + withinMs;
  session.reschedule();
  const value = create(DrainSchema, { withinMs, reconnect: create(ReconnectSchema) });
  session.send(SharedFrame.of({ case: "drain", value }));
}
