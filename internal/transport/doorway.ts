import type { Socket } from "node:net";
import type { Clock, Random } from "../clock/clock.ts";
import { SlotClock } from "../clock/slot-clock.ts";
import { Door, type Measures, SAMPLE_MS } from "./door.ts";
import { Parking } from "./parking.ts";

/**
 * For how many a process holds sockets that it does not read, and for how long: longer than that a
 * client does better to come back later.
 */
const PARKING = { most: 4_096, longestMs: 3_000 };

export interface DoorwayLimits {
  /** How many may be coming in at once, at first. */
  coming?: number;
  parking?: { most: number; longestMs: number };
}

/** What becomes of the bare sockets of one listener. */
export interface Reception {
  letIn(socket: Socket): void;
  /** As cheap as it gets: nothing of what the client has sent was read. */
  turnAway(socket: Socket, afterMs: number): void;
}

/** Lets connections in as the door allows, parks the others, and tells those it turns away when to come back. */
export class Doorway {
  readonly #door: Door;
  readonly #slots = new SlotClock();
  readonly #parking: Parking<{ socket: Socket; reception: Reception }>;
  readonly #clock: Clock;
  readonly #random: Random;
  #sampledAt: number;
  #turnedAway = 0;

  constructor(clock: Clock, random: Random, limits: DoorwayLimits = {}) {
    this.#door = new Door(limits.coming);
    this.#parking = new Parking(limits.parking ?? PARKING);
    this.#clock = clock;
    this.#random = random;
    this.#sampledAt = clock.monotonic();
  }

  get parked(): number {
    return this.#parking.size;
  }

  get turnedAway(): number {
    return this.#turnedAway;
  }

  get coming(): number {
    return this.#door.coming;
  }

  get limit(): number {
    return this.#door.limit;
  }

  get perSecond(): number {
    return this.#door.perSecond;
  }

  /** True when it has to turn away logins that are already inside. */
  get isOverfull(): boolean {
    return this.#door.isOverfull;
  }

  /** When a new client would have its turn; 0 while there is room. */
  get backlogMs(): number {
    if (!this.#door.overloaded && this.#parking.size === 0) return 0;
    const ahead = (1_000 * this.#ahead) / this.#door.perSecond;
    return Math.ceil(Math.max(ahead, this.#slots.backlogMs(this.#clock.monotonic())));
  }

  arrived(socket: Socket, reception: Reception): void {
    if (this.#door.enter()) {
      reception.letIn(socket);
      return;
    }
    // Its end is not noticed while nothing is read; an error may be.
    socket.on("error", ignore);
    const over = this.#parking.park({ socket, reception }, this.#clock.monotonic());
    if (over !== undefined) this.#turnAway(over);
  }

  /** The socket of one that was let in is closed. */
  left(): void {
    this.#door.leave();
    this.#callIn();
  }

  /** A session does not count as coming in any more. `throughLeaving` when it is closed. */
  through(): void {
    this.#door.through();
    this.#callIn();
  }

  throughLeaving(): void {
    this.#door.throughLeaving();
  }

  welcomed(): void {
    this.#door.welcomed();
  }

  /** When somebody who is turned away now may come back, in milliseconds. */
  nextSlotMs(): number {
    const { perSecond } = this.#door;
    const about = { perSecond, ahead: this.#ahead, random: this.#random };
    return this.#slots.take(this.#clock.monotonic(), about);
  }

  /** To be called every SAMPLE_MS. How late it comes is one of the measures. */
  sample(measures: Omit<Measures, "loopLateMs">): void {
    const now = this.#clock.monotonic();
    const elapsedMs = Math.max(1, now - this.#sampledAt);
    this.#sampledAt = now;
    this.#door.sample({ ...measures, loopLateMs: elapsedMs - SAMPLE_MS }, elapsedMs);
    for (let one = this.#parking.expired(now); one; one = this.#parking.expired(now)) {
      this.#turnAway(one);
    }
    this.#callIn();
  }

  /** Turns away all who wait. */
  close(): void {
    for (let one = this.#parking.newest(); one; one = this.#parking.newest()) this.#turnAway(one);
  }

  get #ahead(): number {
    return this.#door.coming + this.#parking.size;
  }

  #callIn(): void {
    while (this.#parking.size > 0 && this.#door.enter()) {
      const next = this.#parking.newest();
      if (next === undefined || next.socket.destroyed) this.#door.leave();
      else next.reception.letIn(next.socket);
    }
  }

  #turnAway({ socket, reception }: { socket: Socket; reception: Reception }): void {
    if (socket.destroyed) return;
    this.#turnedAway += 1;
    reception.turnAway(socket, this.nextSlotMs());
  }
}

function ignore(): void {}
