/** Stand-ins for what an access node needs of the rest of the system. */
import { create, toBinary } from "@bufbuild/protobuf";
import type {
  ConnectionLog,
  ConnectionLogEvents,
  LoggedConnection,
} from "../../internal/access/log/connection-log.ts";
import type { TokenVerifier } from "../../internal/access/services.ts";
import type { VerifiedToken } from "../../internal/auth/claims.ts";
import type { RevokedEvent } from "../../internal/auth/revocations.ts";
import type {
  Appender,
  AppendOptions,
  ChannelHistory,
  ChannelNewest,
  ChannelPast,
  Link,
  Past,
  Stored,
  StreamPosition,
  Subscription,
} from "../../internal/bus/contract.ts";
import type { EndReason } from "../../internal/status/close.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import type { Ack } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import {
  type Message,
  MessageSchema,
  ServerFrameSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type Channel, channelLiveSubject } from "../../streams/subjects.ts";
import type { MemoryMessages } from "../support/memory-messages.ts";

export type LogEntry =
  | { kind: "opened"; device: string; businesses?: string[]; rooms?: string[] }
  | { kind: "rooms"; device: string; rooms: string[] }
  | { kind: "acked"; device: string; sequence: number }
  | { kind: "closed"; device: string; reason: EndReason };

/** Writes down what it is told. Acknowledges at once, or when `storeAll` is called. */
export class FakeLog implements ConnectionLog {
  incarnation = "test-1";
  serving = true;
  oldestAgeMs = 0;
  holding = false;
  readonly entries: LogEntry[] = [];
  readonly events: ConnectionLogEvents;
  #unstored: (() => void)[] = [];

  constructor(events: ConnectionLogEvents) {
    this.events = events;
  }

  opened({ device, businesses, rooms }: LoggedConnection, stored: () => void): void {
    const some = businesses.length > 0 && { businesses };
    const resumed = [...rooms];
    const inRooms = resumed.length > 0 && { rooms: resumed };
    this.entries.push({ kind: "opened", device, ...some, ...inRooms });
    this.#unstored.push(stored);
    if (!this.holding) queueMicrotask(() => this.storeAll());
  }

  roomsChanged({ device, rooms }: LoggedConnection): void {
    this.entries.push({ kind: "rooms", device, rooms: [...rooms] });
  }

  closed({ device }: LoggedConnection, reason: EndReason): void {
    this.entries.push({ kind: "closed", device, reason });
  }

  acknowledged(_partition: number, acks: Ack[]): void {
    for (const { device, deliverySequence } of acks) {
      this.entries.push({ kind: "acked", device, sequence: Number(deliverySequence) });
    }
  }

  start(): void {}

  async settled(): Promise<void> {}

  storeAll(): void {
    const stored = this.#unstored;
    this.#unstored = [];
    for (const one of stored) one();
  }

  ends(device: string): EndReason[] {
    return this.entries.flatMap((entry) =>
      entry.kind === "closed" && entry.device === device ? [entry.reason] : [],
    );
  }

  /** What the log has last heard of the device's rooms. */
  rooms(device: string): string[] | undefined {
    const last = this.entries.findLast((entry) => "rooms" in entry && entry.device === device);
    return last !== undefined && "rooms" in last ? last.rooms : undefined;
  }
}

export interface TokenInit {
  app?: string;
  device?: string;
  user?: string;
  expiresAtMs?: number;
}

/** A token of the fake verifier's: what it says, in plain JSON. */
export function tokenOf(init: TokenInit): string {
  return JSON.stringify(init);
}

const FAR = 8.64e15;

/** Believes everything, but for a few words. */
export const fakeVerifier: TokenVerifier = {
  async verify(token): Promise<VerifiedToken> {
    if (token === "expired") throw new HoldfastError("expired", "token: expired");
    if (token === "forged") throw new HoldfastError("unauthenticated", "token: does not verify");
    if (token === "crash") throw new TypeError("the verifier has a bug");
    if (token === "never") return new Promise(() => {});
    const { app = "shop", device = "d1", user = "", expiresAtMs = FAR } = JSON.parse(token);
    return { app, device, user, expiresAtMs, id: `token of ${device}`, issuedAtMs: 1_000 };
  },
  // It is told only of what concerns it.
  isRevoked: () => true,
};

/** Tells of revoked tokens and deleted apps when a test says so. */
export class FakeRevocations {
  revoke: (event: RevokedEvent) => void = () => {};
  deleteApp: (app: string) => void = () => {};

  listen(revoked: (event: RevokedEvent) => void): void {
    this.revoke = revoked;
  }

  /** No app is known by more than its name. */
  get(): undefined {
    return undefined;
  }

  onDeleted(deleted: (app: string) => void): void {
    this.deleteApp = deleted;
  }
}

/** Stores at once, or when `storeAll` is called. */
export class FakeAppender implements Appender {
  ready = true;
  backlog = 0;
  readonly oldestAgeMs = 0;
  holding = false;
  readonly appended: { subject: string; payload: Uint8Array }[] = [];
  #unstored: (() => void)[] = [];

  /** Why those are refused that are appended now. */
  refusing: HoldfastError | undefined;

  append(subject: string, payload: Uint8Array, stored?: Stored, options?: AppendOptions): void {
    const why = this.refusing;
    if (why !== undefined && (why.code !== "unavailable" || options?.refuseWhenFull)) {
      queueMicrotask(() => options?.refused?.(why));
      return;
    }
    this.appended.push({ subject, payload });
    const sequence = this.appended.length;
    this.#unstored.push(() => stored?.(sequence, false));
    if (!this.holding) queueMicrotask(() => this.storeAll());
  }

  appendFirst(): void {
    throw new Error("uplinks are never appended this way");
  }

  hold(): void {}
  release(): void {}
  discard(): void {}

  storeAll(): void {
    const stored = this.#unstored;
    this.#unstored = [];
    for (const one of stored) one();
  }
}

/** More than any test wants; a bench would fill the memory. */
const MOST_KEPT = 10_000;

/** The room stream in memory: numbers messages, keeps them, and publishes them to those who listen. */
export class FakeStream implements ChannelHistory {
  readonly #messages: MemoryMessages;
  #kept: { subject: string; past: Past }[] = [];
  /** As a stream begins that is not new. */
  #sequence = 1_000;
  epoch = 1;
  /** Above this position everything is kept. */
  keptAfter = 0;
  /** While set, answers are on their way: they say what was true when the question came. */
  answering: Promise<void> = Promise.resolve();
  /** Nobody hears what is published. */
  deaf = false;
  away = false;
  questions = 0;
  reads = 0;
  pageMessages = 256;

  constructor(messages: MemoryMessages) {
    this.#messages = messages;
  }

  /** Publishes a push with this text. @returns its position. */
  publish(
    channel: Channel,
    text: string,
    init: Partial<Pick<Message, "priority" | "metadata">> = {},
  ): number {
    const room = channel.kind === "room" ? channel.id : "";
    const zone = channel.kind === "zone" ? channel.id : "";
    return this.publishBytes(channel, pushFrame(text, { room, zone, ...init }));
  }

  publishBytes(channel: Channel, data: Uint8Array): number {
    this.#sequence += 1;
    const subject = channelLiveSubject(channel);
    const previous = this.#of(channel).at(-1)?.position ?? 0;
    this.#kept.push({ subject, past: { position: this.#sequence, data } });
    if (this.#kept.length > MOST_KEPT) this.#kept = this.#kept.slice(-MOST_KEPT / 2);
    const headers = {
      "Nats-Sequence": String(this.#sequence),
      "Nats-Last-Sequence": String(previous),
    };
    if (!this.deaf) this.#messages.publish(subject, data, undefined, headers);
    return this.#sequence;
  }

  /** The stream is lost, and begins anew. */
  remake(sequence: number): void {
    this.#kept = [];
    this.#sequence = sequence;
    this.epoch += 1;
  }

  async state(): Promise<StreamPosition> {
    return { epoch: this.epoch, last: this.#sequence };
  }

  async newest(channel: Channel): Promise<ChannelNewest> {
    this.questions += 1;
    const newest = this.#of(channel).at(-1)?.position ?? 0;
    return this.#answer({ epoch: this.epoch, last: this.#sequence, newest });
  }

  async read(channel: Channel, after: number): Promise<ChannelPast> {
    this.questions += 1;
    this.reads += 1;
    const past = this.#of(channel).filter(({ position }) => position > after);
    const left = past.filter(({ position }) => position > this.keptAfter);
    const messages = left.slice(0, this.pageMessages);
    const wholeFrom = after <= this.#sequence ? this.keptAfter : Number.POSITIVE_INFINITY;
    const more = messages.length < left.length;
    return this.#answer({ epoch: this.epoch, messages, wholeFrom, more });
  }

  async #answer<Answer>(answer: Answer): Promise<Answer> {
    await this.answering;
    if (this.away) throw new HoldfastError("timeout", "the stream does not answer");
    return answer;
  }

  #of(channel: Channel): Past[] {
    const wanted = channelLiveSubject(channel);
    return this.#kept.filter(({ subject }) => subject === wanted).map(({ past }) => past);
  }
}

/** A link that is cut and mended by hand. */
export class FakeLink implements Link {
  connected = true;
  readonly #watchers = new Set<(connected: boolean) => void>();

  watch(changed: (connected: boolean) => void): Subscription {
    this.#watchers.add(changed);
    return { stop: () => this.#watchers.delete(changed) };
  }

  set(connected: boolean): void {
    this.connected = connected;
    for (const watcher of this.#watchers) watcher(connected);
  }
}

/** An encoded server frame with a message of this text. */
export function pushFrame(
  text: string,
  init: Partial<Pick<Message, "priority" | "metadata" | "room" | "zone">> = {},
): Uint8Array {
  const message = create(MessageSchema, {
    messageId: `m-${text.slice(0, 20)}`,
    business: "chat",
    payload: { case: "text", value: text },
    ...init,
  });
  const frame = create(ServerFrameSchema, { body: { case: "push", value: { message } } });
  return toBinary(ServerFrameSchema, frame);
}
