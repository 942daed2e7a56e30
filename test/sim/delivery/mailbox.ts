import type { Mail, Mailbox, MailHeader, PutMail } from "../../../internal/bus/contract.ts";
import { RECEIPTS_AT_ONCE } from "../../../internal/projector/delivery/mail-work.ts";
import { HoldfastError } from "../../../internal/status/errors.ts";
import { decodeJson, encodeJson } from "../../../streams/records.ts";
import { type Answer, WindowAppender } from "../../support/window-appender.ts";
import { EPOCH_MS, type SimProcess } from "../process.ts";
import { arrival, RecentMessageIds } from "./broker-stream.ts";
import type { DeliveryCluster } from "./cluster.ts";

/** Shorter than many of the cuts. */
const DUPLICATES_KNOWN_MS = 10_000;
const ANSWER_TIMEOUT_MS = 5_000;

type StoredMail = Omit<Mail, "message"> & { mailedAs: number; text: string };

/** The mail stream: per-message TTL, a bound per device, places that are given again when its end is lost. */
export class SimMailStream {
  #mails: StoredMail[] = [];
  readonly #cap: number;
  readonly #now: () => number;
  readonly #ids = new RecentMessageIds(DUPLICATES_KNOWN_MS);
  #end = 0;

  constructor(cap: number, now: () => number) {
    this.#cap = cap;
    this.#now = now;
  }

  get mails(): readonly StoredMail[] {
    this.#mails = this.#mails.filter(({ expiresAtMs }) => expiresAtMs > EPOCH_MS + this.#now());
    return this.#mails;
  }

  store(mail: Omit<StoredMail, "mailedAs">, messageId: string): Answer {
    const before = this.#ids.find(messageId, this.#now());
    if (before !== undefined) return { sequence: before, duplicate: true };
    if (this.of(mail.device).length >= this.#cap) return "refused";
    this.#end += 1;
    this.#mails.push({ ...mail, mailedAs: this.#end });
    this.#ids.note(messageId, this.#end, this.#now());
    return { sequence: this.#end, duplicate: false };
  }

  of(device: string): StoredMail[] {
    return this.mails.filter((mail) => mail.device === device);
  }

  purge(device: string, places: readonly number[]): void {
    this.#mails = this.#mails.filter(
      (mail) => mail.device !== device || !places.includes(mail.mailedAs),
    );
  }

  /** Those that are gone. */
  loseTail(count: number): StoredMail[] {
    const end = Math.max(0, this.#end - count);
    const gone = this.#mails.filter(({ mailedAs }) => mailedAs > end);
    this.#mails = this.#mails.filter(({ mailedAs }) => mailedAs <= end);
    this.#end = end;
    this.#ids.forgetAbove(end);
    return gone;
  }
}

/** The mailbox as one process sees it: the real publish window over a link that breaks. */
export class SimMailbox implements Mailbox {
  readonly #cluster: DeliveryCluster;
  readonly #process: SimProcess;
  readonly #appender: WindowAppender;
  #cuts = 0;
  connected = true;

  constructor(cluster: DeliveryCluster, process: SimProcess) {
    this.#cluster = cluster;
    this.#process = process;
    const { world } = cluster;
    this.#appender = new WindowAppender(
      ({ payload, messageId }, answered) => {
        const cut = this.#cuts;
        this.#send(
          () => {
            if (world.chance(cluster.faults.mailFaults)) return "rejected" as const;
            return cluster.mailbox.store(decodeJson(payload), messageId);
          },
          (answer) => {
            if (cut === this.#cuts) answered(answer);
          },
        );
      },
      (retry) => world.after(world.between(50, 500), () => this.#process.receive(retry)),
    );
  }

  /** The link is gone for a while; what was sent over it may still come, much later. */
  cut(forMs: number): void {
    this.connected = false;
    this.#cuts += 1;
    this.#appender.disconnected();
    this.#cluster.world.after(forMs, () =>
      this.#process.receive(() => {
        this.connected = true;
        this.#appender.connected();
        this.#cluster.world.settles();
      }),
    );
  }

  put({ message, ...mail }: Mail, { owner, stored, refused }: PutMail): void {
    const { device, sequence, messageId } = mail;
    const text = Buffer.from(message).toString("base64");
    const headers = { "Nats-Msg-Id": `${device}/${sequence}/${messageId}` };
    const options = { headers, refused, owner };
    this.#appender.append("mail", encodeJson({ ...mail, text }), stored, options);
  }

  forget(owner: object): void {
    this.#appender.forget(owner);
  }

  async *list(): AsyncGenerator<MailHeader[]> {
    yield await this.#ask(() => this.#cluster.mailbox.mails.map(headerOf));
  }

  load(_app: string, device: string, places: readonly number[]) {
    if (places.length > Math.max(this.#cluster.limits.window, RECEIPTS_AT_ONCE)) {
      this.#cluster.violate(`${places.length} messages loaded at once`);
    }
    return this.#ask(() => {
      const found = this.#cluster.mailbox
        .of(device)
        .filter(({ mailedAs }) => places.includes(mailedAs));
      return new Map(
        found.map(({ text, ...mail }) => {
          return [mail.sequence, { ...mail, message: Buffer.from(text, "base64") }] as const;
        }),
      );
    });
  }

  purge(_app: string, device: string, places: readonly number[]): Promise<void> {
    return this.#ask(() => this.#cluster.mailbox.purge(device, places));
  }

  /** Something done by the broker, whose answer may never come. */
  #ask<T>(act: () => T): Promise<T> {
    const { world, faults } = this.#cluster;
    return new Promise((resolve, reject) => {
      const fail = () => {
        reject(new HoldfastError("unavailable", "nobody answers"));
        world.settles();
      };
      if (!this.connected || world.chance(faults.mailFaults)) {
        world.after(5, () => this.#process.receive(fail));
        return;
      }
      this.#send(act, (result) => {
        resolve(result);
        world.settles();
      });
      world.after(ANSWER_TIMEOUT_MS, () => this.#process.receive(fail));
    });
  }

  #send<T>(act: () => T, answered: (result: T) => void): void {
    const cluster = this.#cluster;
    const { world } = cluster;
    const cut = this.#cuts;
    const lostOnTheWay = world.chance(0.5);
    world.at(arrival(cluster, cluster.faults.mailSlowness), () => {
      const alone = cut !== this.#cuts || !this.#process.alive;
      if (alone && lostOnTheWay) return;
      if (!alone) {
        this.#happen(act, answered);
        return;
      }
      // It left in time, and comes whenever it does.
      const late = world.pick([0, 100, 20_000, 300_000]) ?? 0;
      world.after(world.between(0, late), () => act());
    });
  }

  #happen<T>(act: () => T, answered: (result: T) => void): void {
    const { world } = this.#cluster;
    const result = act();
    world.after(world.between(0, 30), () =>
      this.#process.receive(() => {
        answered(result);
        world.settles();
      }),
    );
  }
}

function headerOf({ text, ...mail }: StoredMail): MailHeader {
  return { ...mail, bytes: Buffer.from(text, "base64").length };
}
