import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BeatSchema } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodeBeatSubject, nodeDownFilter } from "../../../streams/subjects.ts";
import type { Link, Messages, NodeDeaths, Subscription } from "../../bus/contract.ts";
import type { Clock, Timer } from "../../clock/clock.ts";
import { type Life, type LifeEffect, type LifeEvent, step, unborn } from "./life.ts";

export const BEAT_EVERY_MS = 1_000;
/**
 * A tick that is late by more than this says that the process stood still. Nobody declares a node dead
 * for a silence this short.
 */
const LATE_MS = 3_000;

export type BeatInit = MessageInitShape<typeof BeatSchema>;

export interface NodePulseOptions {
  clock: Clock;
  messages: Messages;
  link: Link;
  deaths: NodeDeaths;
  /** After this long without a link, clients are better off elsewhere. */
  isolatedAfterMs: number;
  /** What the next beat says besides the incarnation. */
  beat(): BeatInit;
  /** Once a second, after the beat. */
  ticked(): void;
  /** Say nothing more, until one of the next two. */
  held(): void;
  resumed(): void;
  /** The log says that this incarnation is over. Gives the next one, which is certain. */
  declaredDead(): string;
  isolated(): void;
  reunited(): void;
}

/** Beats, and runs the state machine of life.ts with what it needs: clock, link, the log's answers. */
export class NodePulse {
  readonly #options: NodePulseOptions;
  #incarnation: string;
  #life: Life;
  #tickedAt: number;
  #rumours: Subscription;
  readonly #link: Subscription;
  #timer: Timer | undefined;
  #asking: Timer | undefined;

  constructor(incarnation: string, options: NodePulseOptions) {
    const { clock, link } = options;
    this.#options = options;
    this.#incarnation = incarnation;
    this.#tickedAt = clock.monotonic();
    this.#life = unborn(link.connected, this.#tickedAt);
    this.#rumours = this.#listen();
    this.#link = link.watch((up) => this.#happened({ kind: "link", up }));
  }

  start(): void {
    const { clock, link } = this.#options;
    this.#tickedAt = clock.monotonic();
    this.#timer = clock.every(BEAT_EVERY_MS, () => this.#tick());
    this.#happened({ kind: "link", up: link.connected });
    this.#sendBeat();
  }

  /**
   * True while the incarnation is known to be alive. To be asked before anything is said in its name: a
   * process that stood still finds that out here.
   */
  check(): boolean {
    if (this.#life.kind === "certain" && this.#isLate()) this.#happened({ kind: "late" });
    return this.#life.kind === "certain";
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#asking?.cancel();
    this.#rumours.stop();
    this.#link.stop();
  }

  #isLate(): boolean {
    return this.#options.clock.monotonic() - this.#tickedAt > BEAT_EVERY_MS + LATE_MS;
  }

  #listen(): Subscription {
    return this.#options.messages.subscribe(nodeDownFilter(this.#incarnation), () =>
      this.#happened({ kind: "rumour" }),
    );
  }

  #tick(): void {
    if (this.#isLate()) this.#happened({ kind: "late" });
    this.#tickedAt = this.#options.clock.monotonic();
    this.#happened({ kind: "tick" });
    this.#sendBeat();
    this.#options.ticked();
  }

  #sendBeat(): void {
    const { messages, beat } = this.#options;
    const incarnation = this.#incarnation;
    const message = create(BeatSchema, { ...beat(), incarnation });
    messages.publish(nodeBeatSubject(incarnation), toBinary(BeatSchema, message));
  }

  /** A node that has not started asks nothing yet, and one that has stopped nothing any more. */
  #happened(event: LifeEvent): void {
    if (this.#timer === undefined) return;
    const { clock, isolatedAfterMs } = this.#options;
    const { life, effects } = step(this.#life, event, clock.monotonic(), isolatedAfterMs);
    this.#life = life;
    for (const effect of effects) this.#do(effect);
  }

  #do(effect: LifeEffect): void {
    const options = this.#options;
    switch (effect.kind) {
      case "hold":
        options.held();
        break;
      case "ask":
        this.#asking?.cancel();
        this.#asking = undefined;
        if (effect.afterMs === 0) void this.#ask(effect.question);
        else {
          const ask = () => void this.#ask(effect.question);
          this.#asking = options.clock.after(effect.afterMs, ask);
        }
        break;
      case "resume":
        options.resumed();
        // Clients need not wait a second to hear of it.
        this.#sendBeat();
        break;
      case "begin-again":
        this.#beginAgain();
        break;
      case "isolated":
        options.isolated();
        break;
      case "reunited":
        options.reunited();
        break;
    }
  }

  async #ask(question: number): Promise<void> {
    let event: LifeEvent = { kind: "unanswered", question };
    try {
      const dead = await this.#options.deaths.isDead(this.#incarnation);
      // An answer that waited here while the process stood still says nothing of that time.
      if (dead || !this.#isLate()) event = { kind: "answered", question, dead };
    } catch {
      // Asked again after a while.
    }
    this.#happened(event);
  }

  #beginAgain(): void {
    this.#rumours.stop();
    this.#incarnation = this.#options.declaredDead();
    this.#rumours = this.#listen();
    this.#sendBeat();
  }
}
