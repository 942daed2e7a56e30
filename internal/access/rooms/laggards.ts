import type { Wheel, WheelEntry } from "../../clock/wheel.ts";
import type { RoomSession } from "./member.ts";

/** A client whose socket takes nothing for so long, with more waiting than allowed, is closed. */
const PATIENCE_MS = 8_000;
const LOOK_MS = 1_000;

export interface LaggardsOptions {
  wheel: Wheel;
  /** What may wait for a client whose socket takes nothing. */
  hardLimitBytes: number;
  /** Bytes that wait for the session in its channels. */
  waitingFor(session: RoomSession): number;
}

/**
 * Sessions whose sockets do not take what is sent to their rooms. Nothing is queued for them, so they may
 * take their time; but one that does not read at all is not kept.
 */
export class Laggards {
  readonly #options: LaggardsOptions;
  readonly #known = new Map<RoomSession, Laggard>();

  constructor(options: LaggardsOptions) {
    this.#options = options;
  }

  behind(session: RoomSession): void {
    if (this.#known.has(session)) return;
    const laggard = new Laggard(session, this.#options.wheel.now, (one) => this.#look(one));
    this.#known.set(session, laggard);
    this.#options.wheel.schedule(laggard, LOOK_MS);
  }

  /** Its socket has taken all that it was given. */
  progressed(session: RoomSession): void {
    const laggard = this.#known.get(session);
    if (laggard !== undefined) laggard.progressAtMs = this.#options.wheel.now;
  }

  forget(session: RoomSession): void {
    const laggard = this.#known.get(session);
    if (laggard === undefined) return;
    this.#options.wheel.remove(laggard);
    this.#known.delete(session);
  }

  #look(laggard: Laggard): void {
    const { wheel, hardLimitBytes, waitingFor } = this.#options;
    const { session } = laggard;
    const waiting = waitingFor(session);
    if (waiting === 0) {
      this.#known.delete(session);
      return;
    }
    const { buffered } = session.transport;
    if (buffered < laggard.buffered) laggard.progressAtMs = wheel.now;
    laggard.buffered = buffered;
    const stuck = wheel.now - laggard.progressAtMs >= PATIENCE_MS;
    if (stuck && waiting + buffered > hardLimitBytes) {
      session.end("slow-consumer", "nothing was read for 8 s, and too much was waiting");
    } else {
      wheel.schedule(laggard, LOOK_MS);
    }
  }
}

class Laggard implements WheelEntry {
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;
  readonly session: RoomSession;
  progressAtMs: number;
  buffered = 0;
  readonly #look: (laggard: Laggard) => void;

  constructor(session: RoomSession, nowMs: number, look: (laggard: Laggard) => void) {
    this.session = session;
    this.progressAtMs = nowMs;
    this.#look = look;
  }

  due(): void {
    this.#look(this);
  }
}
