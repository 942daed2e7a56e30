import type { Route } from "../../streams/records.ts";
import type { Clock } from "../clock/clock.ts";
import type { SharedTurns } from "../clock/shared-turns.ts";
import type { Device, RouteTable } from "./fold/route-table.ts";

/** Each online device has one of these slots of the day, in which it is written again. */
const SLOT_MS = 10 * 60 * 1_000;
const SLOTS = (24 * 60 * 60 * 1_000) / SLOT_MS;
/** It goes on when no more than this waits to be written. */
const BELOW = 1_024;
/** Devices looked at in a tick, and between two looks at the clock. */
const A_TICK = 4_096;
const AT_ONCE = 64;

export interface RefreshOptions {
  clock: Clock;
  slices: SharedTurns;
  /** Writes that wait. */
  backlog(): number;
  /** An online device is come by. `due`: it is its turn to be written again. */
  each(route: Route, due: boolean): void;
}

/** Comes by all online devices again and again, a part of them in each tick. */
export class Refresh {
  readonly #options: RefreshOptions;
  #slot = -1;
  /** The devices not yet come by in this slot. */
  #left: Iterator<Device> | undefined;
  #running = false;

  constructor(options: RefreshOptions) {
    this.#options = options;
  }

  tick(table: RouteTable): void {
    const { clock, slices, backlog } = this.#options;
    if (this.#running || backlog() > BELOW) return;
    if (this.#left === undefined) {
      const slot = Math.floor(clock.now() / SLOT_MS) % SLOTS;
      if (slot === this.#slot) return;
      this.#slot = slot;
      this.#left = table.devices.values();
    }
    this.#running = true;
    void slices.run(this.#some(this.#left)).finally(() => {
      this.#running = false;
    });
  }

  *#some(left: Iterator<Device>) {
    for (let i = 1; i <= A_TICK; i++) {
      const { value: device, done } = left.next();
      if (done === true) {
        this.#left = undefined;
        return;
      }
      const { route, hash } = device;
      if (route.online) this.#options.each(route, hash % SLOTS === this.#slot);
      if (i % AT_ONCE === 0) yield;
    }
  }
}
