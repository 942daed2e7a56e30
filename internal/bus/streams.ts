import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
  jetstreamManager,
} from "@nats-io/jetstream";
import { nanos, nuid } from "@nats-io/transport-node";
import type { Connection } from "./connect.ts";
import type { ConsumerProgress, Past, StreamState, Streams } from "./contract.ts";
import { natsError } from "./nats-errors.ts";

const COUNTED_WITHIN_MS = 10_000;

/** Streams as a whole, asked of their leaders. */
export class NatsStreams implements Streams {
  readonly #jsm: JetStreamManager;

  private constructor(jsm: JetStreamManager) {
    this.#jsm = jsm;
  }

  static async open({ nc }: Connection): Promise<NatsStreams> {
    return new NatsStreams(await jetstreamManager(nc, { checkAPI: false }));
  }

  async state(stream: string, subjects?: string): Promise<StreamState> {
    const filter = subjects === undefined ? {} : { subjects_filter: subjects };
    const { config, state } = await this.#ask(stream, () => this.#jsm.streams.info(stream, filter));
    return {
      messages: state.messages,
      bytes: state.bytes,
      maxBytes: config.max_bytes,
      firstSequence: state.first_seq,
      lastSequence: state.last_seq,
      subjects: new Map(Object.entries(state.subjects ?? {})),
    };
  }

  async newest(stream: string, subject: string): Promise<(Past & { atMs: number }) | undefined> {
    const last_by_subj = subject;
    const message = await this.#ask(stream, () =>
      this.#jsm.streams.getMessage(stream, { last_by_subj }),
    );
    if (message === null) return undefined;
    return { position: message.seq, data: message.data, atMs: message.time.getTime() };
  }

  async sizeAt(stream: string, subject: string, from: number): Promise<number | undefined> {
    const place = { next_by_subj: subject, seq: Math.max(1, from) };
    const message = await this.#ask(stream, () => this.#jsm.direct.getMessage(stream, place));
    return message?.data.length;
  }

  async count(stream: string, filter: string): Promise<number> {
    const name = `hf-count-${nuid.next()}`;
    const config = {
      name,
      filter_subject: filter,
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.None,
      inactive_threshold: nanos(COUNTED_WITHIN_MS),
      mem_storage: true,
      num_replicas: 1,
    };
    const { consumers } = this.#jsm;
    const { num_pending } = await this.#ask(stream, () => consumers.add(stream, config));
    // If this fails the server forgets it by itself.
    await consumers.delete(stream, name).catch(() => {});
    return num_pending;
  }

  async consumers(stream: string): Promise<ConsumerProgress[]> {
    return this.#ask(stream, async () => {
      const found: ConsumerProgress[] = [];
      for await (const info of this.#jsm.consumers.list(stream)) {
        if (info.config.durable_name !== undefined) found.push(progressOf(info));
      }
      return found;
    });
  }

  async purge(
    stream: string,
    what: { below: number; subject?: string } | { subject: string; keep: number },
  ): Promise<number> {
    const { subject } = what;
    const filter = subject === undefined ? {} : { filter: subject };
    const bound = "below" in what ? { seq: what.below } : { keep: what.keep };
    const { purged } = await this.#ask(stream, () =>
      this.#jsm.streams.purge(stream, { ...filter, ...bound }),
    );
    return purged;
  }

  async #ask<T>(stream: string, question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (reason) {
      throw natsError(`stream ${stream}`, reason);
    }
  }
}

function progressOf({ config, ack_floor, delivered, num_pending, num_ack_pending }: ConsumerInfo) {
  const { filter_subject, filter_subjects, ack_policy } = config;
  const filters = filter_subjects ?? (filter_subject === undefined ? [] : [filter_subject]);
  const caughtUp = num_pending === 0 && num_ack_pending === 0;
  const nothingToAck = ack_policy === AckPolicy.None || caughtUp;
  return { filters, handled: nothingToAck ? delivered.stream_seq : ack_floor.stream_seq };
}
