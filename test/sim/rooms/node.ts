import { sessionLimits } from "../../../internal/access/limits.ts";
import { newAccessMetrics } from "../../../internal/access/metrics.ts";
import { RoomRulesView } from "../../../internal/access/rooms/room-rules-view.ts";
import { Rooms } from "../../../internal/access/rooms/rooms.ts";
import type { Link, Messages, Received, Subscription } from "../../../internal/bus/contract.ts";
import type { Clock } from "../../../internal/clock/clock.ts";
import { Wheel } from "../../../internal/clock/wheel.ts";
import { quietLogger } from "../../support/logger.ts";
import type { MemoryBucket } from "../../support/memory-bucket.ts";
import { SimProcess } from "../process.ts";
import type { World } from "../world.ts";
import type { SimSession } from "./session.ts";
import { SimHistory, type SimMessage, type SimStream } from "./stream.ts";

export interface NodeFaults {
  /** The share of live messages that get lost, though the link is up. */
  drops: number;
  /** Gaps are not seen and nothing is asked when the link is back: the checker must find what is lost. */
  blind: boolean;
}

/** An access node: the real rooms, and around them a network that loses things. */
export class SimNode {
  readonly process: SimProcess;
  readonly rooms: Rooms;
  readonly history: SimHistory;
  readonly metrics = newAccessMetrics();
  readonly sessions = new Set<SimSession>();
  connected = true;
  faults: NodeFaults;
  readonly #world: World;
  readonly #watchers = new Set<(connected: boolean) => void>();
  readonly #subscribers = new Map<string, Set<(message: Received) => void>>();
  /** Messages of one connection do not overtake each other. */
  #busyUntil = 0;
  #link = 0;

  static async start(
    world: World,
    stream: SimStream,
    settings: MemoryBucket,
    options: { faults: NodeFaults; small: boolean },
  ): Promise<SimNode> {
    return new SimNode(world, stream, await RoomRulesView.follow(settings), options);
  }

  private constructor(
    world: World,
    stream: SimStream,
    rules: RoomRulesView,
    { faults, small }: { faults: NodeFaults; small: boolean },
  ) {
    this.#world = world;
    this.faults = faults;
    this.process = new SimProcess(world, "node");
    this.history = new SimHistory(stream, () => this.connected);
    const clock = hurried(this.process.clock);
    const limits = sessionLimits({ heartbeatSeconds: 30, maxFrameBytes: 65_536 });
    const watch = (changed: (connected: boolean) => void): Subscription => {
      this.#watchers.add(changed);
      return { stop: () => void this.#watchers.delete(changed) };
    };
    const connected = () => this.connected;
    const link: Link = {
      get connected() {
        return connected();
      },
      watch,
    };
    this.rooms = new Rooms({
      messages: this.#messages(),
      history: this.history,
      link,
      rules,
      clock,
      wheel: new Wheel(clock),
      // Small limits, so that what happens to large rooms happens here too.
      limits: small ? { ...limits, softLimitBytes: 2_000, hardLimitBytes: 20_000 } : limits,
      sizes: {
        ringBytes: small ? 3_000 : 1_048_576,
        parcelBytes: small ? 1_000 : 65_536,
        checkMs: Math.min(10_000, stream.keep.ms / 10),
      },
      metrics: this.metrics,
      logger: quietLogger,
      defer: (fire) => void world.after(world.between(0, 3), () => this.process.receive(fire)),
    });
    stream.listen((message) => this.#hear(message));
  }

  get alive(): boolean {
    return this.process.alive;
  }

  breakLink(forMs: number): void {
    this.#setLink(false);
    this.#world.after(forMs, () => this.#setLink(true));
  }

  kill(): void {
    this.process.kill();
    for (const session of [...this.sessions]) session.cut();
  }

  #setLink(connected: boolean): void {
    if (!this.alive || connected === this.connected) return;
    this.connected = connected;
    this.#link += 1;
    if (!this.faults.blind) for (const watcher of this.#watchers) watcher(connected);
  }

  #messages(): Messages {
    return {
      publish: () => {},
      request: () => Promise.reject(new Error("nobody answers")),
      subscribe: (subject, receive) => {
        const all = this.#subscribers.get(subject) ?? new Set();
        this.#subscribers.set(subject, all);
        all.add(receive);
        return { stop: () => void all.delete(receive) };
      },
    };
  }

  #hear(message: SimMessage): void {
    const world = this.#world;
    const link = this.#link;
    if (!this.alive || !this.connected || world.chance(this.faults.drops)) return;
    this.#busyUntil = Math.max(this.#busyUntil, world.now + world.between(0, 5));
    world.at(this.#busyUntil, () => {
      // What was on its way when the link broke is lost.
      if (!this.alive || link !== this.#link) return;
      for (const receive of this.#subscribers.get(message.subject) ?? []) {
        receive(received(message, this.faults.blind));
      }
    });
  }
}

function received({ subject, position, previous, frame }: SimMessage, blind: boolean): Received {
  const headers: Record<string, string> = {
    "Nats-Sequence": String(position),
    "Nats-Last-Sequence": String(blind ? 0 : previous),
  };
  return {
    subject,
    data: frame,
    header: (name) => headers[name],
    noResponders: false,
    respond: () => {},
  };
}

/** Each look at it takes a while, so that long work does not fit in one turn. */
function hurried(clock: Clock): Clock {
  let at = 0;
  return {
    ...clock,
    monotonic() {
      at = Math.max(at + 0.2, clock.monotonic());
      return at;
    },
  };
}
