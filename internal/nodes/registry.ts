import { fromBinary } from "@bufbuild/protobuf";
import { type Beat, BeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { NODE_BEATS_FILTER } from "../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";

/** A node beats every second; four lost beats are as much as is taken for chance. */
const SILENCE_MS = 4_000;
const FORGET_EVERY_MS = 250;

/** A node, changed with each of its beats. */
export interface Heard {
  beat: Beat;
  /** Monotonic milliseconds; -Infinity once it is forgotten. */
  at: number;
}

/** The access nodes that beat, with what their newest beat says. Knows nothing for the first second. */
export class NodeRegistry implements Disposable {
  readonly #heard = new Map<string, Heard>();
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #subscription: Subscription;
  #changes = 0;
  #forgotAt = Number.NEGATIVE_INFINITY;

  constructor(options: { messages: Messages; clock?: Clock; silenceMs?: number }) {
    this.#clock = options.clock ?? systemClock;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
    this.#subscription = options.messages.subscribe(NODE_BEATS_FILTER, (message) =>
      this.#receive(message),
    );
  }

  /** The live nodes, in the order of their incarnations. */
  list(): Beat[] {
    this.#forgetSilent();
    return [...this.#heard.values()]
      .map(({ beat }) => beat)
      .sort((a, b) => (a.incarnation < b.incarnation ? -1 : 1));
  }

  /** The live nodes of an incarnation, which is at most one, or of a name. */
  find(nameOrIncarnation: string): Beat[] {
    return this.list().filter(
      (beat) => beat.incarnation === nameOrIncarnation || beat.name === nameOrIncarnation,
    );
  }

  /** The nodes as they are kept. Some may be silent. */
  get heard(): Iterable<Heard> {
    return this.#heard.values();
  }

  /** Grows when a node comes or goes, and when one says something else than how loaded it is. */
  get changes(): number {
    return this.#changes;
  }

  isLive(heard: Heard, now: number): boolean {
    return now - heard.at <= this.#silenceMs;
  }

  #receive(message: Received): void {
    const beat = decode(message.data);
    if (beat === undefined) return;
    const at = this.#clock.monotonic();
    const heard = this.#heard.get(beat.incarnation);
    if (heard === undefined) {
      this.#heard.set(beat.incarnation, { beat, at });
      this.#changes += 1;
    } else {
      if (differs(heard.beat, beat)) this.#changes += 1;
      Object.assign(heard, { beat, at });
    }
    // Not with each of a thousand beats a second.
    if (at - this.#forgotAt >= FORGET_EVERY_MS) this.#forgetSilent();
  }

  #forgetSilent(): void {
    const now = this.#clock.monotonic();
    this.#forgotAt = now;
    for (const [incarnation, heard] of this.#heard) {
      if (this.isLive(heard, now)) continue;
      this.#heard.delete(incarnation);
      heard.at = Number.NEGATIVE_INFINITY;
      this.#changes += 1;
    }
  }

  [Symbol.dispose](): void {
    this.#subscription.stop();
  }
}

function differs(before: Beat, now: Beat): boolean {
  return (
    before.serving !== now.serving ||
    before.draining !== now.draining ||
    before.retryAfterMs > 0 !== now.retryAfterMs > 0 ||
    isFull(before) !== isFull(now) ||
    before.weight !== now.weight ||
    before.endpoints.length !== now.endpoints.length ||
    before.endpoints.some(({ url }, index) => url !== now.endpoints[index]?.url) ||
    Object.keys(before.labels).length !== Object.keys(now.labels).length ||
    Object.entries(before.labels).some(([name, value]) => now.labels[name] !== value)
  );
}

/** It has as many connections as its operator lets it have. */
export function isFull({ connections, maxConnections }: Beat): boolean {
  return maxConnections > 0 && connections >= maxConnections;
}

/** Undefined for bytes that are no beat: one sender that talks nonsense must not stop the listener. */
function decode(data: Uint8Array): Beat | undefined {
  try {
    return fromBinary(BeatSchema, data);
  } catch {
    return undefined;
  }
}
