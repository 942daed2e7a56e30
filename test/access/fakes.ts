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
  Past,
  Stored,
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
  | { kind: "opened"; device: string; businesses?: string[] }
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

  opened({ device, businesses }: LoggedConnection, stored: () => void): void {
    const some = businesses.length > 0 && { businesses };
    this.entries.push({ kind: "opened", device, ...some });
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
    const last = this.entries.findLast(
      (entry) => entry.kind === "rooms" && entry.device === device,
    );
    return last?.kind === "rooms" ? last.rooms : undefined;
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

/** The room stream in memory: numbers messages, keeps them, and publishes them to those who listen. */
export class FakeStream implements ChannelHistory {
  readonly #messages: MemoryMessages;
  readonly #kept: { subject: string; past: Past }[] = [];
  #sequence = 0;
  /** Above this position everything is kept. */
  keptAfter = 0;
  /** While set, questions wait for it. */
  answering: Promise<void> = Promise.resolve();
  away = false;
  questions = 0;

  constructor(messages: MemoryMessages) {
    this.#messages = messages;
  }

  /** Publishes a push with this text. @returns its position. */
  publish(channel: Channel, text: string, init: Partial<Pick<Message, "priority">> = {}): number {
    this.#sequence += 1;
    const subject = channelLiveSubject(channel);
    const data = pushFrame(text, init);
    this.#kept.push({ subject, past: { position: this.#sequence, data } });
    const headers = { "Nats-Sequence": String(this.#sequence) };
    this.#messages.publish(subject, data, undefined, headers);
    return this.#sequence;
  }

  async newest(): Promise<number> {
    await this.#answer();
    return this.#sequence;
  }

  async since(channel: Channel, position: number, limit: number): Promise<Past[] | undefined> {
    await this.#answer();
    const past = this.#of(channel).filter((one) => one.position > position);
    return position < this.keptAfter || past.length > limit ? undefined : past;
  }

  async #answer(): Promise<void> {
    this.questions += 1;
    await this.answering;
    if (this.away) throw new HoldfastError("timeout", "the stream does not answer");
  }

  #of(channel: Channel): Past[] {
    const wanted = channelLiveSubject(channel);
    return this.#kept.filter(({ subject }) => subject === wanted).map(({ past }) => past);
  }
}

/** An encoded server frame with a message of this text. */
export function pushFrame(text: string, init: Partial<Pick<Message, "priority">> = {}): Uint8Array {
  const message = create(MessageSchema, {
    messageId: `m-${text.slice(0, 20)}`,
    business: "chat",
    payload: { case: "text", value: text },
    ...init,
  });
  const frame = create(ServerFrameSchema, { body: { case: "push", value: { message } } });
  return toBinary(ServerFrameSchema, frame);
}
