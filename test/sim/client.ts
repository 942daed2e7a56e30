/** The contracts of internal/bus over a simulated connection. */
import type {
  Appender,
  AppendOptions,
  Bucket,
  Entry,
  LogHandler,
  LogReader,
  Messages,
  NodeDeaths,
  PutOutcome,
  Reading,
  Received,
  Stored,
  Subscription,
} from "../../internal/bus/contract.ts";
import {
  CONFLICT,
  type Outcome,
  PublishWindow,
  type WindowLimits,
} from "../../internal/bus/publish-window.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import type { BucketName } from "../../streams/layout.ts";
import { nodeDownFilter } from "../../streams/subjects.ts";
import {
  type Broker,
  matches,
  type Reader,
  type StoreOutcome,
  type Subscriber,
  type Watcher,
} from "./broker.ts";
import { PATIENCE_MS, type SimConnection } from "./connection.ts";

const LIMITS: WindowLimits = {
  maxInFlight: 64,
  maxInFlightBytes: 1_000_000,
  maxBacklog: 1_000,
  maxBacklogBytes: 1_000_000,
};
const TICK_MS = 1_000;
const PATIENCE_TICKS = 5;
const RETRY_MS = 100;

interface Appended {
  readonly owner: object | undefined;
  /** When it was appended, by the world's time. */
  readonly at: number;
  readonly size: number;
  /** What happens at the broker, and what is called with that when the answer has come. */
  store(broker: Broker): StoreOutcome;
  settled(outcome: StoreOutcome): void;
  outcome: StoreOutcome | undefined;
}

/** The real window of unacknowledged messages over a simulated connection. */
export class SimAppender implements Appender {
  readonly #connection: SimConnection;
  readonly #window: PublishWindow<Appended>;
  #retryPlanned = false;
  #ids = 0;

  constructor(connection: SimConnection) {
    this.#connection = connection;
    const settled = (message: Appended, outcome: Outcome) =>
      message.settled(message.outcome ?? { kind: "stored", sequence: outcome, duplicate: false });
    const fault = (reason: unknown) => {
      throw reason;
    };
    this.#window = new PublishWindow(LIMITS, { settled, fault }, connection.connected);
    connection.watch((connected) => {
      if (connected) this.#window.connected();
      else this.#window.disconnected();
      this.#goOn();
    });
    connection.process.clock.every(TICK_MS, () => {
      if (this.#window.tick(PATIENCE_TICKS)) this.#goOn();
    });
  }

  get ready(): boolean {
    return this.#window.ready;
  }

  get backlog(): number {
    return this.#window.backlog;
  }

  get oldestAgeMs(): number {
    const { oldest } = this.#window;
    return oldest === undefined ? 0 : this.#connection.process.world.now - oldest.at;
  }

  /** With a Nats-Msg-Id it goes into a stream besides the log. */
  append(subject: string, payload: Uint8Array, stored?: Stored, options?: AppendOptions): void {
    const messageId = options?.headers?.["Nats-Msg-Id"];
    this.#add(
      payload.length,
      (broker) =>
        messageId === undefined
          ? broker.appendUnlessRejected(subject, payload)
          : broker.store(subject, payload, messageId),
      (outcome) => {
        if (outcome.kind === "stored") stored?.(outcome.sequence, outcome.duplicate);
      },
      options?.owner,
    );
  }

  appendFirst(subject: string, payload: Uint8Array, done?: (stored: boolean) => void): void {
    const messageId = `${this.#connection.process.name} ${this.#ids++}`;
    this.#add(
      payload.length,
      (broker) => broker.appendFirst(subject, payload, messageId),
      (outcome) => done?.(outcome.kind === "stored"),
    );
  }

  hold(): void {
    this.#window.hold();
  }

  release(): void {
    this.#window.release();
    this.#goOn();
  }

  discard(): void {
    this.#window.discard();
  }

  forget(owner: object): void {
    this.#window.forget((message) => message.owner === owner);
    this.#goOn();
  }

  #add(size: number, store: Appended["store"], settled: Appended["settled"], owner?: object): void {
    const at = this.#connection.process.world.now;
    this.#window.add({ owner, at, size, store, settled, outcome: undefined });
    this.#goOn();
  }

  /** Sends what the window has room for; after a rejection, when a pause is over. */
  #goOn(): void {
    for (let message = this.#window.take(); message !== undefined; message = this.#window.take()) {
      this.#send(this.#window.lastNumber, message);
    }
    if (this.#window.phase !== "pausing" || this.#retryPlanned) return;
    this.#retryPlanned = true;
    this.#connection.process.clock.after(RETRY_MS, () => {
      this.#retryPlanned = false;
      this.#window.retry();
      this.#goOn();
    });
  }

  #send(number: number, message: Appended): void {
    const connection = this.#connection;
    connection.send(() => {
      const outcome = message.store(connection.broker);
      connection.deliver(() => {
        if (outcome.kind === "rejected") {
          this.#window.fail(number);
        } else {
          message.outcome = outcome;
          this.#window.settle(number, outcome.kind === "stored" ? outcome.sequence : CONFLICT);
        }
        this.#goOn();
      });
    });
  }
}

export class SimLogReader implements LogReader {
  readonly #connection: SimConnection;

  constructor(connection: SimConnection) {
    this.#connection = connection;
  }

  read(partition: number, after: number, handler: LogHandler): Reading {
    const connection = this.#connection;
    let position = after;
    let stopped = false;
    let paused = false;
    const waiting: [number, Uint8Array, number][] = [];
    const reader: Reader = {
      connection,
      partition,
      receive({ sequence, data, storedAtMs }) {
        if (stopped || sequence <= position) return;
        position = sequence;
        if (paused) waiting.push([sequence, data, storedAtMs]);
        else handler.record(sequence, data, storedAtMs);
      },
      lost() {
        if (stopped) return;
        stopped = true;
        handler.lost(new HoldfastError("not-found", "the log was cut"));
      },
    };
    const opening = connection.whenOpen(() =>
      connection.send(() => {
        if (!stopped) connection.broker.read(reader, position);
      }),
    );
    return {
      pause() {
        paused = true;
      },
      resume() {
        paused = false;
        while (!paused && !stopped) {
          const next = waiting.shift();
          if (next === undefined) return;
          handler.record(...next);
        }
      },
      stop() {
        stopped = true;
        opening.stop();
        connection.broker.stopReading(reader);
      },
    };
  }

  holds(partition: number, sequence: number, storedAtMs: number): Promise<boolean> {
    const { broker } = this.#connection;
    return this.#connection.ask(() => {
      const found = broker.partitions[partition]!.find((record) => record.sequence === sequence);
      return found === undefined ? sequence <= broker.end : found.storedAtMs === storedAtMs;
    });
  }

  lastSequence(partition: number): Promise<number> {
    const { broker } = this.#connection;
    return this.#connection.ask(() => broker.partitions[partition]!.at(-1)?.sequence ?? 0);
  }
}

export class SimNodeDeaths implements NodeDeaths {
  readonly #connection: SimConnection;

  constructor(connection: SimConnection) {
    this.#connection = connection;
  }

  isDead(incarnation: string): Promise<boolean> {
    const { broker } = this.#connection;
    return this.#connection.ask(() => broker.hasStored(nodeDownFilter(incarnation)));
  }
}

export class SimBucket implements Bucket {
  readonly #connection: SimConnection;
  readonly #name: BucketName;
  /** Noted with every write when it is sent, for the observer. */
  readonly #note: (key: string) => number;

  constructor(connection: SimConnection, name: BucketName, note: (key: string) => number) {
    this.#connection = connection;
    this.#name = name;
    this.#note = note;
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#connection.ask(() => this.#entries.get(key));
  }

  latest(key: string): Promise<Entry | undefined> {
    return this.get(key);
  }

  getMany(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    return this.#connection.ask(() => keys.map((key) => this.#entries.get(key)));
  }

  /** In two steps, since a real listing is no snapshot either. */
  async *list(filter: string | readonly string[]): AsyncIterable<Entry> {
    const filters = [filter].flat().map((one) => one.split("."));
    const keys = await this.#connection.ask(() =>
      [...this.#entries.keys()].filter((key) => filters.some((tokens) => matches(tokens, key))),
    );
    const half = keys.length >> 1;
    for (const some of [keys.slice(0, half), keys.slice(half)]) {
      if (some.length === 0) continue;
      const entries = await this.getMany(some);
      for (const entry of entries) if (entry !== undefined) yield entry;
    }
  }

  watch(filter: string, changed: (entry: Entry) => void): Promise<Subscription> {
    const connection = this.#connection;
    let stopped = false;
    let opening: Subscription | undefined;
    const watcher: Watcher = {
      connection,
      bucket: this.#name,
      filter: filter.split("."),
      receive: (entry) => {
        if (!stopped) changed(entry);
      },
    };
    const subscription = {
      stop() {
        stopped = true;
        opening?.stop();
        connection.broker.stopWatching(watcher);
      },
    };
    return new Promise((resolve) => {
      opening = connection.whenOpen(() =>
        connection.send(() => {
          if (stopped) return;
          connection.broker.watch(watcher);
          connection.deliver(() => {
            connection.process.world.settles();
            resolve(subscription);
          });
        }),
      );
    });
  }

  put(key: string, value: Uint8Array, expected: number, done: (outcome: PutOutcome) => void): void {
    this.#write(key, value, expected, done);
  }

  delete(key: string, expected: number, done: (outcome: PutOutcome) => void): void {
    this.#write(key, undefined, expected, done);
  }

  get #entries(): Map<string, Entry> {
    return this.#connection.broker.bucket(this.#name);
  }

  #write(
    key: string,
    value: Uint8Array | undefined,
    expected: number,
    done: (outcome: PutOutcome) => void,
  ): void {
    const connection = this.#connection;
    let over = false;
    const by = { writer: connection.process.name, note: this.#note(key) };
    const settle = (outcome: PutOutcome) => {
      if (over) return;
      over = true;
      patience.cancel();
      lost.stop();
      connection.process.world.settles();
      done(outcome);
    };
    const lost = connection.watch((connected) => {
      if (!connected) settle({ kind: "unknown" });
    });
    const patienceMs = connection.connected ? PATIENCE_MS : 5;
    const patience = connection.process.clock.after(patienceMs, () => settle({ kind: "unknown" }));
    if (!connection.connected) return;
    connection.send(() => {
      if (connection.broker.electing) return;
      const outcome = connection.broker.put(this.#name, key, value, expected, by);
      connection.deliver(() => settle(outcome));
    });
  }
}

export class SimMessages implements Messages {
  readonly #connection: SimConnection;
  #requests = 0;

  constructor(connection: SimConnection) {
    this.#connection = connection;
  }

  publish(subject: string, payload: Uint8Array, replyTo?: string): void {
    if (!this.#connection.connected) return;
    this.#connection.send(() => this.#connection.broker.publish(subject, payload, replyTo));
  }

  subscribe(subject: string, receive: (message: Received) => void): Subscription {
    const connection = this.#connection;
    let stopped = false;
    const subscriber: Subscriber = {
      connection,
      filter: subject.split("."),
      receive: (to, data, { replyTo, noResponders }) => {
        if (stopped) return;
        const respond = (payload: Uint8Array) => {
          if (replyTo !== undefined) this.publish(replyTo, payload);
        };
        receive({ subject: to, data, respond, header: () => undefined, noResponders });
      },
    };
    const opening = connection.whenOpen(() =>
      connection.send(() => {
        if (!stopped) connection.broker.subscribe(subscriber);
      }),
    );
    return {
      stop() {
        stopped = true;
        opening.stop();
        connection.broker.unsubscribe(subscriber);
      },
    };
  }

  request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { process } = this.#connection;
    const inbox = `_INBOX.${process.name}.${this.#requests++}`;
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        subscription.stop();
        deadline.cancel();
        process.world.settles();
        settle();
      };
      const deadline = process.clock.after(timeoutMs, () =>
        end(() => reject(new HoldfastError("timeout", `no answer on ${subject}`))),
      );
      const subscription = this.subscribe(inbox, ({ data, noResponders }) =>
        end(() => {
          if (!noResponders) resolve(data);
          else reject(new HoldfastError("unavailable", `nobody listens on ${subject}`));
        }),
      );
      this.publish(subject, payload, inbox);
    });
  }
}
