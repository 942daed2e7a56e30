import type { MailHeader } from "../../../internal/bus/contract.ts";

interface Mail extends MailHeader {
  message: Uint8Array;
}

/** The mail stream of one partition: per-message TTL, a bound per device. */
export class SimMailbox {
  mails: Mail[] = [];
  readonly #cap: number;
  readonly #now: () => number;
  #sequence = 0;

  constructor(cap: number, now: () => number) {
    this.#cap = cap;
    this.#now = now;
  }

  /** Its place, or 0 when the device's mailbox is full. */
  put(mail: Omit<Mail, "mailedAs">): number {
    this.#expire();
    if (this.of(mail.device).length >= this.#cap) return 0;
    this.#sequence += 1;
    this.mails.push({ ...mail, mailedAs: this.#sequence });
    return this.#sequence;
  }

  of(device: string): Mail[] {
    this.#expire();
    return this.mails.filter((mail) => mail.device === device);
  }

  load(device: string, places: readonly number[]): Map<number, Uint8Array> {
    const found = this.of(device).filter(({ mailedAs }) => places.includes(mailedAs));
    return new Map(found.map(({ sequence, message }) => [sequence, message]));
  }

  purge(places: readonly number[]): void {
    this.mails = this.mails.filter(({ mailedAs }) => !places.includes(mailedAs));
  }

  #expire(): void {
    this.mails = this.mails.filter(({ expiresAtMs }) => expiresAtMs > this.#now());
  }
}
