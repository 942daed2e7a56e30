import type { Link, Subscription } from "../../internal/bus/contract.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import type { Broker } from "./broker.ts";
import type { SimProcess } from "./process.ts";

/** How long an answer is waited for. */
export const PATIENCE_MS = 5_000;

/**
 * A process' connection to the broker: ordered in both directions, with delays, and lost at times.
 * What was under way when it broke is gone.
 */
export class SimConnection implements Link {
  readonly process: SimProcess;
  readonly broker: Broker;
  /** As the process believes; the path may be dead for a while before it notices. */
  connected: boolean;
  /** Grows with every break, so that what belongs to an earlier one is dropped. */
  epoch = 0;
  /** False while nothing gets through. */
  path: boolean;
  readonly #watchers = new Set<(connected: boolean) => void>();
  readonly #opened = new Set<() => void>();
  readonly #waiting = new Set<(why: HoldfastError) => void>();
  readonly #latency: number;
  #upStalledUntil = 0;
  #downStalledUntil = 0;
  #lastUp = 0;
  #lastDown = 0;

  constructor(process: SimProcess, broker: Broker) {
    this.process = process;
    this.broker = broker;
    const { world } = process;
    this.#latency = world.chance(0.8) ? world.between(0.1, 3) : world.between(20, 200);
    this.connected = broker.up;
    this.path = broker.up;
    broker.connections.add(this);
  }

  watch(changed: (connected: boolean) => void): Subscription {
    this.#watchers.add(changed);
    return { stop: () => void this.#watchers.delete(changed) };
  }

  /** Calls now and after every reconnect: the place to subscribe. */
  whenOpen(open: () => void): Subscription {
    this.#opened.add(open);
    if (this.connected) open();
    return { stop: () => void this.#opened.delete(open) };
  }

  /** Runs `arrive` at the broker, unless the connection breaks before. */
  send(arrive: () => void): void {
    const { world } = this.process;
    const epoch = this.epoch;
    if (!this.path) return;
    this.#lastUp = Math.max(this.#lastUp, this.#upStalledUntil, this.#arrival());
    world.at(this.#lastUp, () => {
      if (epoch === this.epoch && this.path && this.broker.up) arrive();
    });
  }

  /** Runs `arrive` in the process, unless the connection breaks before. */
  deliver(arrive: () => void): void {
    const { world } = this.process;
    const epoch = this.epoch;
    if (!this.path) return;
    this.#lastDown = Math.max(this.#lastDown, this.#downStalledUntil, this.#arrival());
    world.at(this.#lastDown, () => {
      if (epoch === this.epoch && this.path) this.process.receive(arrive);
    });
  }

  /** A question to the broker. Rejects when the connection breaks before the answer, or there is none. */
  ask<T>(answer: () => T): Promise<T> {
    const { world, clock } = this.process;
    return new Promise((resolve, reject) => {
      const fail = (why: HoldfastError) => {
        this.#waiting.delete(fail);
        patience.cancel();
        world.settles();
        reject(why);
      };
      const patience = clock.after(PATIENCE_MS, () => {
        if (this.#waiting.has(fail)) fail(new HoldfastError("timeout", "no answer"));
      });
      if (!this.connected) {
        fail(new HoldfastError("unavailable", "not connected"));
        return;
      }
      this.#waiting.add(fail);
      this.send(() => {
        if (this.broker.electing) return;
        const value = answer();
        this.deliver(() => {
          if (!this.#waiting.delete(fail)) return;
          patience.cancel();
          world.settles();
          resolve(value);
        });
      });
    });
  }

  /** Nothing gets through until `restore`; the process notices after `noticeMs`. */
  cut(noticeMs: number): void {
    if (!this.path) return;
    this.path = false;
    this.epoch += 1;
    const { epoch } = this;
    this.broker.dropped(this);
    this.process.world.after(noticeMs, () => {
      this.process.receive(() => {
        if (this.epoch === epoch && this.connected) this.#lost();
      });
    });
  }

  restore(): void {
    if (this.path) return;
    this.process.receive(() => {
      if (this.path || !this.broker.up) return;
      if (this.connected) this.#lost();
      this.epoch += 1;
      this.path = true;
      this.connected = true;
      this.#lastUp = 0;
      this.#lastDown = 0;
      for (const open of [...this.#opened]) open();
      for (const changed of [...this.#watchers]) changed(true);
    });
  }

  /** For so long nothing arrives in these directions, and then everything, in order. */
  stall(delayMs: number, { up, down }: { up: boolean; down: boolean }): void {
    const until = this.process.world.now + delayMs;
    if (up) this.#upStalledUntil = until;
    if (down) this.#downStalledUntil = until;
  }

  #lost(): void {
    this.connected = false;
    for (const changed of [...this.#watchers]) changed(false);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const fail of waiting) fail(new HoldfastError("unavailable", "the connection was lost"));
  }

  #arrival(): number {
    const { world } = this.process;
    return world.now + this.#latency * world.between(0.5, 2);
  }
}
