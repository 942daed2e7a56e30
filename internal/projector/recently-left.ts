import type { Route } from "../../streams/records.ts";
import type { Device } from "./fold/route-table.ts";

/** How long a device that has left stays in memory. */
export const REMEMBER_LEFT_MS = 10 * 60 * 1_000;

const COMPACT_AFTER = 1_024;

interface Left {
  readonly device: Device;
  /** Another one since: it came back. */
  readonly route: Route;
  /** The record that the bucket must know of. */
  readonly sequence: number;
  readonly atMs: number;
}

/** The devices that are offline, in the order in which they went. */
export class RecentlyLeft {
  #queue: Left[] = [];
  #head = 0;

  /** `nowMs`: monotonic. `stored`: the bucket has the route. */
  add(device: Device, nowMs: number, stored: boolean): void {
    const { route } = device;
    this.#queue.push({ device, route, sequence: stored ? 0 : route.sequence, atMs: nowMs });
  }

  /**
   * Up to `most` of those that went long enough ago and whose routes are in the bucket, which is to
   * speak for them from now on: it has all that the log says up to `stored`.
   */
  take(nowMs: number, stored: number, most: number): Device[] {
    const taken: Device[] = [];
    for (let left = most; left > 0; left--) {
      const first = this.#queue[this.#head];
      if (first === undefined || first.atMs > nowMs - REMEMBER_LEFT_MS) break;
      const { device, route, sequence } = first;
      if (device.route === route) {
        if (sequence > stored) break;
        taken.push(device);
      }
      this.#head += 1;
    }
    if (this.#head >= COMPACT_AFTER && this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }
}
