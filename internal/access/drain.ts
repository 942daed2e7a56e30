import { create } from "@bufbuild/protobuf";
import { DrainSchema, ReconnectSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Timer } from "../clock/clock.ts";
import { inSlices } from "../clock/slices.ts";
import { SharedFrame } from "../wire/shared-frame.ts";
import type { OtherNodes } from "./other-nodes.ts";
import type { SessionServices } from "./services.ts";
import type { Session } from "./session/session.ts";

/** In this time every node beats once, with some to spare. */
const HEARING_MS = 1_200;
/** The part of a short drain that may go to hearing who else is there. */
const HEARING_PART = 0.25;

/** How long one client has to be elsewhere before it is closed: to connect there, and to log in. */
const LEAVE_MS = 10_000;
/** The part of that which is left to chance, so that those who are asked in one moment do not move in one. */
const JITTER = 0.5;

/** Empties a node slowly. */
export class Drain {
  readonly #services: SessionServices;
  readonly #listen: () => OtherNodes;
  #others: OtherNodes | undefined;
  #hearing: Timer | undefined;
  #pass: Timer | undefined;

  /** `listen`: begins to hear of the nodes that clients may go to. */
  constructor(services: SessionServices, listen: () => OtherNodes) {
    this.#services = services;
    this.#listen = listen;
  }

  /**
   * Asks every client to leave, one after the other, so that they arrive elsewhere spread over `overMs`, and says
   * where to: to each in an order of its own. Who has not left some seconds after that is closed.
   */
  begin(overMs: number): void {
    const { table, clock, random } = this.#services;
    this.#stop();
    this.#others ??= this.#listen();
    const hearingMs = Math.min(HEARING_MS, overMs * HEARING_PART);
    this.#hearing = clock.after(hearingMs, () => {
      const leftMs = overMs - hearingMs;
      const leaveMs = Math.min(LEAVE_MS, leftMs / 2);
      const ask = (session: Session) =>
        this.#ask(session, Math.ceil(leaveMs * (1 - JITTER * random())));
      const perSecond = Math.max(1, (1_000 * table.size) / Math.max(1, leftMs - leaveMs));
      this.#pass = inSlices(table, ask, { clock, perSecond });
    });
  }

  /** Those that have not left yet may stay. */
  takeBack(): void {
    this.stop();
    this.#overAll((session) => {
      if (session.advance("undrain")) session.drainedAtMs = undefined;
    });
  }

  stop(): void {
    this.#stop();
    this.#others?.[Symbol.dispose]();
    this.#others = undefined;
  }

  #stop(): void {
    this.#hearing?.cancel();
    this.#pass?.cancel();
  }

  #overAll(work: (session: Session) => void): void {
    const { table, clock } = this.#services;
    this.#pass?.cancel();
    this.#pass = inSlices(table, work, { clock });
  }

  #ask(session: Session, withinMs: number): void {
    if (!session.advance("drain")) return;
    session.drainedAtMs = session.services.wheel.now + withinMs;
    session.reschedule();
    const endpoints = this.#others?.endpointsFor(session.app, session.transport.protocol) ?? [];
    const reconnect = create(ReconnectSchema, { endpoints });
    const value = create(DrainSchema, { withinMs, reconnect });
    session.send(SharedFrame.of({ case: "drain", value }));
  }
}
