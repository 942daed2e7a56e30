import { create, toBinary } from "@bufbuild/protobuf";
import type {
  ChannelHistory,
  ChannelNewest,
  ChannelPast,
  StreamPosition,
} from "../../../internal/bus/contract.ts";
import { HoldfastError } from "../../../internal/status/errors.ts";
import {
  type Message_Priority,
  MessageSchema,
  ServerFrameSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type Channel, channelLiveSubject } from "../../../streams/subjects.ts";
import type { World } from "../world.ts";

export interface SimMessage {
  subject: string;
  position: number;
  previous: number;
  epoch: number;
  at: number;
  priority: Message_Priority;
  frame: Uint8Array;
}

/** What a stream keeps. */
interface Keep {
  ms: number;
  perChannel: number;
  page: number;
}

/** The room stream: numbers messages, keeps them for a while, and hands them to the nodes. */
export class SimStream {
  readonly world: World;
  readonly keep: Keep;
  epoch = 1;
  last: number;
  /** Everything that was ever sent, by channel. */
  readonly sent = new Map<string, SimMessage[]>();
  /** How many of the oldest of each channel went out of the stream. */
  readonly #gone = new Map<string, number>();
  readonly #listeners = new Set<(message: SimMessage) => void>();
  #messages = 0;

  constructor(world: World, keep: Keep) {
    this.world = world;
    this.keep = keep;
    this.last = Math.floor(world.between(0, 2)) * Math.floor(world.between(1, 1_000)) + 1;
  }

  listen(listener: (message: SimMessage) => void): void {
    this.#listeners.add(listener);
  }

  publish(channel: Channel, priority: Message_Priority): void {
    const subject = channelLiveSubject(channel);
    this.#messages += 1;
    this.last += 1;
    const sent = this.sent.get(subject) ?? [];
    this.sent.set(subject, sent);
    const value = {
      messageId: `m${this.#messages}`,
      ...(channel.kind === "room" && { room: channel.id }),
      ...(channel.kind === "zone" && { zone: channel.id }),
      payload: {
        case: "text",
        value: `${this.#messages} ${"x".repeat(this.world.between(0, 200))}`,
      },
      priority,
    } as const;
    const message = create(MessageSchema, value);
    const body = { case: "push", value: { message } } as const;
    const one: SimMessage = {
      subject,
      position: this.last,
      previous: this.kept(subject).at(-1)?.position ?? 0,
      epoch: this.epoch,
      at: this.world.now,
      priority,
      frame: toBinary(ServerFrameSchema, create(ServerFrameSchema, { body })),
    };
    sent.push(one);
    for (const listener of this.#listeners) listener(one);
  }

  /** Lost and made anew, with higher positions: see StreamSpec.growingSequences. */
  remake(): void {
    this.epoch += 1;
    for (const [subject, sent] of this.sent) this.#gone.set(subject, sent.length);
    this.last += 1_000;
  }

  /** What is left of a channel, oldest first. */
  kept(subject: string): SimMessage[] {
    const sent = this.sent.get(subject) ?? [];
    let gone = Math.max(this.#gone.get(subject) ?? 0, sent.length - this.keep.perChannel);
    while (gone < sent.length && (sent[gone]?.at ?? 0) < this.world.now - this.keep.ms) gone += 1;
    this.#gone.set(subject, gone);
    return sent.slice(gone);
  }

  /** What a copy has of a channel that has come so far. */
  keptUpTo(subject: string, last: number): SimMessage[] {
    const heard = (this.sent.get(subject) ?? []).filter(
      ({ position, epoch }) => position <= last && epoch === this.epoch,
    );
    const young = heard.filter(({ at }) => at >= this.world.now - this.keep.ms);
    return young.slice(-this.keep.perChannel);
  }

  /** The oldest position that is left of whatever channel. */
  get first(): number {
    const firsts = [...this.sent.keys()].map((subject) => this.kept(subject)[0]?.position);
    return Math.min(this.last + 1, ...firsts.map((first) => first ?? Number.POSITIVE_INFINITY));
  }

  /** As the adapter decides it: errs on the safe side. */
  whole(subject: string, after: number): boolean {
    const above = this.kept(subject).filter(({ position }) => position > after).length;
    return after + 1 >= this.first && after <= this.last && above < this.keep.perChannel;
  }
}

export interface HistoryFaults {
  /** The share of questions without an answer. */
  loss: number;
  slownessMs: number;
  /** By how many messages the copy that answers a page may lag. */
  lag: number;
}

/** The way of one node to the stream. */
export class SimHistory implements ChannelHistory {
  readonly #stream: SimStream;
  readonly #connected: () => boolean;
  faults: HistoryFaults = { loss: 0, slownessMs: 0, lag: 0 };

  constructor(stream: SimStream, connected: () => boolean) {
    this.#stream = stream;
    this.#connected = connected;
  }

  state(): Promise<StreamPosition> {
    const { epoch, last } = this.#stream;
    return this.#answer(() => ({ epoch, last }));
  }

  async newest(channel: Channel): Promise<ChannelNewest> {
    // Two questions, and time passes between them.
    const position = await this.state();
    const subject = channelLiveSubject(channel);
    return this.#answer(() => ({
      ...position,
      newest: this.#stream.kept(subject).at(-1)?.position ?? 0,
    }));
  }

  async read(channel: Channel, after: number, exact = false): Promise<ChannelPast> {
    const stream = this.#stream;
    const subject = channelLiveSubject(channel);
    const batch = await this.#answer(() => {
      const lag = exact ? 0 : Math.floor(stream.world.between(0, this.faults.lag));
      const seen = stream.last - lag;
      const all = stream.keptUpTo(subject, seen).filter(({ position }) => position > after);
      const messages = all.slice(0, exact ? 1 : stream.keep.page);
      return {
        messages: messages.map(({ position, frame }) => ({ position, data: frame })),
        more: messages.length < all.length,
        waiting: all.length,
      };
    });
    return this.#answer(() => {
      const { messages, more } = batch;
      const full = batch.waiting >= stream.keep.perChannel;
      const kept = full ? (messages[0]?.position ?? stream.last) : stream.first - 1;
      const wholeFrom = after <= stream.last ? kept : Number.POSITIVE_INFINITY;
      return { epoch: stream.epoch, messages, more, wholeFrom };
    });
  }

  /** The question takes a while, and so does the answer. */
  #answer<Answer>(answer: () => Answer): Promise<Answer> {
    const { world } = this.#stream;
    const { loss, slownessMs } = this.faults;
    const slowly = () => world.between(0, world.chance(0.2) ? slownessMs : 2);
    return new Promise((resolve, reject) => {
      const fail = () => {
        reject(new HoldfastError("timeout", "no answer"));
        world.settles();
      };
      if (!this.#connected() || world.chance(loss)) {
        world.after(slowly(), fail);
        return;
      }
      world.after(slowly(), () => {
        const value = answer();
        world.after(slowly(), () => {
          if (!this.#connected()) fail();
          else {
            resolve(value);
            world.settles();
          }
        });
      });
    });
  }
}
