import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BeatAnswerSchema, BeatSchema } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  beatAnswerSubject,
  beatAnswersFilter,
  beatOfAnswer,
  nodeBeatSubject,
} from "../../../streams/subjects.ts";
import type { Link, Messages, Received, Subscription } from "../../bus/contract.ts";
import type { Clock, Timer } from "../../clock/clock.ts";

export const BEAT_EVERY_MS = 1_000;
/** A node that was not answered for this long is on its own. It is declared dead only after 5 s. */
export const UNANSWERED_MS = 4_000;
/** Beats whose answer would say nothing any more are forgotten. */
const BEATS_KEPT = 8;

export type BeatInit = MessageInitShape<typeof BeatSchema>;

export interface NodePulseOptions {
  clock: Clock;
  messages: Messages;
  link: Link;
  /** After this long alone, clients are better off elsewhere. */
  isolatedAfterMs: number;
  /** What the next beat says besides the incarnation. */
  beat(serving: boolean): BeatInit;
  /** Once a second, after the beat. */
  ticked(): void;
  suspended(): void;
  resumed(): void;
  /** The log says that this incarnation is over. */
  declaredDead(): void;
  isolated(): void;
}

type State = { kind: "serving" } | { kind: "suspended"; since: number; reported: boolean };

/**
 * Whether the rest of the system knows that this node is alive, and whether the node knows that.
 *
 * An answer proves only that the node was heard when it sent that beat. So what counts is when the
 * last answered beat was *sent*: a node that was frozen finds that long ago, however many answers
 * wait for it, and is suspended before it says anything.
 */
export class NodePulse {
  readonly #options: NodePulseOptions;
  #incarnation: string;
  #state: State;
  #beat = 0;
  /** When the latest beats were sent, in monotonic ms. */
  readonly #sentAt = new Map<number, number>();
  /** When the latest answered beat was sent. */
  #answeredAt = Number.NEGATIVE_INFINITY;
  #answers: Subscription;
  readonly #link: Subscription;
  #timer: Timer | undefined;

  /** Starts suspended: a new node serves once it was heard. */
  constructor(incarnation: string, options: NodePulseOptions) {
    const { clock, link } = options;
    this.#options = options;
    this.#incarnation = incarnation;
    this.#state = { kind: "suspended", since: clock.monotonic(), reported: false };
    this.#answers = this.#listen();
    this.#link = link.watch((connected) => this.#linkChanged(connected));
  }

  start(): void {
    this.#timer = this.#options.clock.every(BEAT_EVERY_MS, () => this.#tick());
    this.#sendBeat();
  }

  /**
   * True while the node is known to be alive; suspends it when it is due. To be asked before
   * anything is said in the name of the incarnation.
   */
  check(): boolean {
    if (this.#state.kind === "suspended") return false;
    if (this.#options.link.connected && this.#isHeard(this.#answeredAt)) return true;
    this.#suspend();
    return false;
  }

  /** Goes on under another incarnation. Whoever declared the old one dead is there to hear of it. */
  become(incarnation: string): void {
    this.#answers.stop();
    this.#incarnation = incarnation;
    this.#answers = this.#listen();
    this.#sendBeat();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#answers.stop();
    this.#link.stop();
  }

  #listen(): Subscription {
    return this.#options.messages.subscribe(beatAnswersFilter(this.#incarnation), (answer) =>
      this.#answered(answer),
    );
  }

  #tick(): void {
    const { clock, isolatedAfterMs } = this.#options;
    if (!this.check() && this.#state.kind === "suspended" && !this.#state.reported) {
      if (clock.monotonic() - this.#state.since >= isolatedAfterMs) {
        this.#state.reported = true;
        this.#options.isolated();
      }
    }
    this.#sendBeat();
    this.#options.ticked();
  }

  #sendBeat(): void {
    const { messages, clock } = this.#options;
    const incarnation = this.#incarnation;
    this.#beat += 1;
    this.#sentAt.set(this.#beat, clock.monotonic());
    this.#sentAt.delete(this.#beat - BEATS_KEPT);
    const serving = this.#state.kind === "serving";
    const beat = create(BeatSchema, { ...this.#options.beat(serving), incarnation });
    messages.publish(
      nodeBeatSubject(incarnation),
      toBinary(BeatSchema, beat),
      beatAnswerSubject(incarnation, this.#beat),
    );
  }

  #answered({ subject, data, noResponders }: Received): void {
    // The server's word that no projector is there looks just like the answer of one.
    if (noResponders) return;
    const sentAt = this.#sentAt.get(beatOfAnswer(subject));
    if (sentAt === undefined) return;
    if (fromBinary(BeatAnswerSchema, data).dead) {
      this.#options.declaredDead();
      return;
    }
    this.#answeredAt = Math.max(this.#answeredAt, sentAt);
    if (this.#state.kind === "suspended" && this.#options.link.connected && this.#isHeard(sentAt)) {
      this.#state = { kind: "serving" };
      this.#options.resumed();
      // Clients need not wait a second to hear of it.
      this.#sendBeat();
    }
  }

  #isHeard(sentAt: number): boolean {
    return this.#options.clock.monotonic() - sentAt < UNANSWERED_MS;
  }

  #linkChanged(connected: boolean): void {
    if (connected) {
      // A node that has not started is not to be found yet.
      if (this.#timer !== undefined) this.#sendBeat();
    } else if (this.#state.kind === "serving") {
      this.#suspend();
    }
  }

  #suspend(): void {
    this.#state = { kind: "suspended", since: this.#options.clock.monotonic(), reported: false };
    this.#options.suspended();
  }
}
