import {
  AckPolicy,
  type Consumer,
  type ConsumerMessages,
  DeliverPolicy,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import { TurnEnd } from "./node-business-turn.ts";

export interface ConsumerOptions {
  stream: string;
  subject: string;
  /** Shared by every instance, and remembered by the server; undefined: for this instance alone. */
  durable: string | undefined;
  /** Of a consumer for this instance alone: its name. Unset: any that is free. */
  own?: string | undefined;
  /** How many messages may be under way with all instances. */
  underWay: number;
  /** A message that was not acknowledged for so long is given to another instance. */
  ackWaitMs: number;
  handle(message: JsMsg): Promise<void>;
  /** A message was not handled, and comes again; or the stream could not be read, and is read again. */
  failed(error: unknown): void;
}

const AGAIN_MS = 1_000;
/** The server forgets the consumer of an instance that is gone for so long. */
const OWN_KEPT_MS = 60_000;

/** Reads a stream, acknowledging what was handled. Disposal waits for what is under way. */
export class StreamConsumer implements AsyncDisposable {
  readonly #nc: NatsConnection;
  readonly #options: ConsumerOptions;
  readonly #underWay = new Set<Promise<void>>();
  /** What handlers have in their hands. */
  readonly #held = new Set<JsMsg>();
  readonly #turnEnd: TurnEnd;
  readonly #working: NodeJS.Timeout;
  #messages: ConsumerMessages | undefined;
  #stopping = false;
  #running: Promise<void> | undefined;

  constructor(nc: NatsConnection, options: ConsumerOptions) {
    this.#nc = nc;
    this.#options = options;
    this.#turnEnd = new TurnEnd(options.failed);
    // A handler that takes long keeps its message; one that is killed loses it to another instance.
    this.#working = setInterval(() => {
      for (const message of this.#held) message.working();
    }, options.ackWaitMs / 2);
    this.#working.unref();
  }

  /** Resolves when it reads. */
  async start(): Promise<void> {
    const consumer = await this.#open();
    this.#running = this.#run(consumer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await this.#messages?.close();
    await Promise.allSettled(this.#underWay);
    await this.#running;
    this.#turnEnd.flush();
    clearInterval(this.#working);
  }

  async #open(): Promise<Consumer> {
    const { stream, subject, durable, own, underWay, ackWaitMs } = this.#options;
    if (durable === undefined && own !== undefined) return this.#openOwn(own);
    if (durable === undefined) {
      const deliver = { deliver_policy: DeliverPolicy.All, filter_subjects: [subject] };
      return jetstream(this.#nc).consumers.get(stream, deliver);
    }
    const jsm = await jetstreamManager(this.#nc);
    await jsm.consumers.add(stream, {
      durable_name: durable,
      filter_subject: subject,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: nanos(ackWaitMs),
      max_ack_pending: underWay,
    });
    return jetstream(this.#nc).consumers.get(stream, durable);
  }

  /** From the start of the stream, as without a name; what an earlier one of the name has read does not count. */
  async #openOwn(name: string): Promise<Consumer> {
    const { stream, subject } = this.#options;
    const jsm = await jetstreamManager(this.#nc);
    // There may be none.
    await jsm.consumers.delete(stream, name).catch(() => {});
    await jsm.consumers.add(stream, {
      name,
      filter_subject: subject,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.All,
      inactive_threshold: nanos(OWN_KEPT_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    return jetstream(this.#nc).consumers.get(stream, name);
  }

  async #run(first: Consumer): Promise<void> {
    let consumer: Consumer | undefined = first;
    while (!this.#stopping) {
      try {
        consumer ??= await this.#open();
        await this.#read(consumer);
      } catch (error) {
        if (this.#stopping) return;
        this.#options.failed(error);
        await new Promise((again) => setTimeout(again, AGAIN_MS));
      }
      consumer = undefined;
    }
  }

  async #read(consumer: Consumer): Promise<void> {
    const { underWay, durable } = this.#options;
    const messages = await consumer.consume({ max_messages: underWay });
    this.#messages = messages;
    if (this.#stopping) await messages.close();
    for await (const message of messages) {
      const handled = this.#handle(message);
      if (durable === undefined || underWay === 1) {
        await handled;
        continue;
      }
      this.#underWay.add(handled);
      void handled.then(() => this.#underWay.delete(handled));
    }
  }

  /** Never rejects. */
  async #handle(message: JsMsg): Promise<void> {
    const { durable, handle, failed } = this.#options;
    if (durable !== undefined) this.#held.add(message);
    try {
      await handle(message);
      this.#held.delete(message);
      if (durable !== undefined) this.#turnEnd.send(() => message.ack());
    } catch (error) {
      this.#held.delete(message);
      failed(error);
      if (durable !== undefined) this.#turnEnd.send(() => message.nak(AGAIN_MS));
    }
  }
}
