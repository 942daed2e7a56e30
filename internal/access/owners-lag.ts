import { fromBinary } from "@bufbuild/protobuf";
import { ProjectorBeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { PROJECTOR_BEAT_SUBJECT } from "../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";

/** Projectors beat every second. One that is silent owns nothing for much longer, and nobody waits for it. */
const HEARD_MS = 5_000;

/** How far the owners of the partitions say that they are behind the log. */
export class OwnersLag {
  readonly #clock: Clock;
  readonly #subscription: Subscription;
  readonly #heard = new Map<string, { lagMs: number; at: number }>();

  constructor(messages: Messages, clock: Clock) {
    this.#clock = clock;
    this.#subscription = messages.subscribe(PROJECTOR_BEAT_SUBJECT, (beat) => this.#receive(beat));
  }

  /** Of the one that is farthest behind; 0 while none is heard, since a node needs none. */
  get mostMs(): number {
    const since = this.#clock.monotonic() - HEARD_MS;
    let most = 0;
    for (const [projector, { lagMs, at }] of this.#heard) {
      if (at < since) this.#heard.delete(projector);
      else most = Math.max(most, lagMs);
    }
    return most;
  }

  stop(): void {
    this.#subscription.stop();
  }

  #receive({ data }: Received): void {
    const { projector, lagMs } = fromBinary(ProjectorBeatSchema, data);
    this.#heard.set(projector, { lagMs, at: this.#clock.monotonic() });
  }
}
