import { DigestSum } from "../../../streams/digest.ts";
import type { Device } from "./route-table.ts";

/** What a view knows besides the connections that it holds. */
export interface NodeState {
  number: number;
  displaced: [counter: number, hash: number][];
  /** Not there: no announcement is under way. */
  announced?: number[];
}

/**
 * What the log says of one live incarnation: the connections it holds, in this partition.
 *
 * A connection whose device has a newer one elsewhere is displaced: it is no route any more, but
 * its node holds it until the kick arrives, and counts it in its digests.
 */
export class NodeView {
  readonly incarnation: string;
  /** The number of the newest record of this incarnation that was folded. */
  number = 0;
  /** The connections that are their device's route, by counter. */
  readonly held = new Map<number, Device>();
  /** The hashes of the displaced ones, by counter. */
  readonly displaced = new Map<number, number>();
  /** Of both together: what the node's next digest should say. */
  readonly sum = new DigestSum();
  /** Routes of each app. */
  readonly apps = new Map<string, number>();
  /** The counters named so far by an announcement whose last part has not come. */
  announced: Set<number> | undefined;

  constructor(incarnation: string) {
    this.incarnation = incarnation;
  }

  /** To be restored from by `restore`. */
  get state(): NodeState {
    const { number, displaced, announced } = this;
    const state: NodeState = { number, displaced: [...displaced] };
    return announced === undefined ? state : { ...state, announced: [...announced] };
  }

  restore({ number, displaced, announced }: NodeState): void {
    this.number = number;
    for (const [counter, hash] of displaced) this.displace(counter, hash);
    this.announced = announced && new Set(announced);
  }

  hold(device: Device): void {
    this.held.set(device.counter, device);
    this.sum.add(device.hash);
    const { app } = device.route;
    this.apps.set(app, (this.apps.get(app) ?? 0) + 1);
  }

  drop(device: Device): void {
    if (!this.held.delete(device.counter)) return;
    this.sum.remove(device.hash);
    const { app } = device.route;
    const left = (this.apps.get(app) ?? 0) - 1;
    if (left > 0) this.apps.set(app, left);
    else this.apps.delete(app);
  }

  displace(counter: number, hash: number): void {
    this.forgetDisplaced(counter);
    this.displaced.set(counter, hash);
    this.sum.add(hash);
  }

  /** True if the connection was a displaced one. */
  forgetDisplaced(counter: number): boolean {
    const hash = this.displaced.get(counter);
    if (hash === undefined) return false;
    this.displaced.delete(counter);
    this.sum.remove(hash);
    return true;
  }
}
