import { fromBinary } from "@bufbuild/protobuf";
import { type Beat, BeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { NODE_BEATS_FILTER } from "../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";

/** A node beats every second; four lost beats are as much as is taken for chance. */
const SILENCE_MS = 4_000;

interface Heard {
  beat: Beat;
  /** Monotonic milliseconds. */
  at: number;
}

/** The access nodes that beat, with what their newest beat says. Knows nothing for the first second. */
export class NodeRegistry implements Disposable {
  readonly #heard = new Map<string, Heard>();
  readonly #clock: Clock;
  readonly #subscription: Subscription;

  constructor(options: { messages: Messages; clock?: Clock }) {
    this.#clock = options.clock ?? systemClock;
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

  #receive(message: Received): void {
    const beat = decode(message.data);
    if (beat === undefined) return;
    this.#heard.set(beat.incarnation, { beat, at: this.#clock.monotonic() });
    this.#forgetSilent();
  }

  #forgetSilent(): void {
    const oldest = this.#clock.monotonic() - SILENCE_MS;
    for (const [incarnation, { at }] of this.#heard) {
      if (at < oldest) this.#heard.delete(incarnation);
    }
  }

  [Symbol.dispose](): void {
    this.#subscription.stop();
  }
}

/** Undefined for bytes that are no beat: one sender that talks nonsense must not stop the listener. */
function decode(data: Uint8Array): Beat | undefined {
  try {
    return fromBinary(BeatSchema, data);
  } catch {
    return undefined;
  }
}
