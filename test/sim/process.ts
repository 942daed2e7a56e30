import type { Clock, Timer } from "../../internal/clock/clock.ts";
import type { World } from "./world.ts";

/** What the wall clocks say when the simulation begins. */
export const EPOCH_MS = 1_800_000_000_000;

/**
 * A process: it can be frozen (SIGSTOP), starved and killed (SIGKILL). While frozen, its timers come due
 * and its input piles up; both are handled when it goes on, in an order chosen by the seed. A starved
 * one is frozen but for its threads.
 */
export class SimProcess {
  readonly name: string;
  readonly world: World;
  readonly clock: Clock;
  alive = true;
  frozen = false;
  /** What runs beside its main loop, and stops and ends with it. */
  readonly #threads: SimProcess[] = [];
  readonly #monotonicStart: number;
  #dueTimers: (() => void)[] = [];
  #input: (() => void)[] = [];

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
    this.#monotonicStart = world.now - world.between(0, 100_000);
    this.clock = {
      now: () => EPOCH_MS + Math.floor(world.now),
      monotonic: () => world.now - this.#monotonicStart,
      after: (delayMs, fire) => this.#timer(delayMs, fire, false),
      every: (intervalMs, fire) => this.#timer(intervalMs, fire, true),
      turnEnd: (fire) => void this.#timer(0, fire, false),
    };
  }

  thread(): SimProcess {
    const thread = new SimProcess(this.world, this.name);
    this.#threads.push(thread);
    return thread;
  }

  /** Input from outside: handled now, or once the process goes on, or never. */
  receive(handle: () => void): void {
    if (!this.alive) return;
    if (this.frozen) this.#input.push(handle);
    else handle();
  }

  freeze(): void {
    this.starve();
    for (const thread of this.#threads) thread.freeze();
  }

  /** The main loop gets no time; its threads do. */
  starve(): void {
    this.frozen = true;
  }

  thaw(): void {
    for (const thread of this.#threads) thread.thaw();
    if (!this.frozen) return;
    this.frozen = false;
    const [timers, input] = [this.#dueTimers, this.#input];
    this.#dueTimers = [];
    this.#input = [];
    const batches = this.world.chance(0.5) ? [timers, input] : [input, timers];
    for (const handle of batches.flat()) if (this.alive) handle();
    this.world.settles();
  }

  kill(): void {
    for (const thread of this.#threads) thread.kill();
    this.alive = false;
    this.frozen = false;
    this.#dueTimers = [];
    this.#input = [];
  }

  #timer(delayMs: number, fire: () => void, repeat: boolean): Timer {
    let cancelled = false;
    const due = () => {
      if (cancelled || !this.alive) return;
      if (this.frozen) {
        this.#dueTimers.push(run);
        return;
      }
      run();
    };
    const run = () => {
      if (cancelled) return;
      if (repeat) this.world.after(delayMs, due);
      fire();
    };
    this.world.after(delayMs, due);
    return {
      cancel: () => {
        cancelled = true;
      },
    };
  }
}
