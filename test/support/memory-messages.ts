import type { Messages, Received, Subscription } from "../../internal/bus/contract.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { subjectMatcher } from "./subject-matcher.ts";

interface Subscriber {
  matches: (subject: string) => boolean;
  queue: string | undefined;
  receive: (message: Received) => void;
}

/** Core NATS in memory: messages arrive in a later turn, queue groups share, nobody listening is `unavailable`. */
export class MemoryMessages implements Messages {
  readonly #subscribers = new Set<Subscriber>();
  #inboxes = 0;

  /** How many listen to this subject. */
  listeners(subject: string): number {
    return this.#receivers(subject).length;
  }

  publish(
    subject: string,
    payload: Uint8Array,
    replyTo?: string,
    headers: Record<string, string> = {},
  ): void {
    const receivers = this.#receivers(subject);
    if (receivers.length === 0 && replyTo !== undefined) this.#nobodyListens(replyTo);
    for (const subscriber of receivers) {
      const message: Received = {
        noResponders: false,
        subject,
        data: payload,
        header: (name) => headers[name],
        respond: (answer) => {
          if (replyTo !== undefined) this.publish(replyTo, answer);
        },
      };
      queueMicrotask(() => {
        if (this.#subscribers.has(subscriber)) subscriber.receive(message);
      });
    }
  }

  /** What a server answers in the place of whom the question was for. */
  #nobodyListens(replyTo: string): void {
    for (const subscriber of this.#receivers(replyTo)) {
      const message: Received = {
        noResponders: true,
        subject: replyTo,
        data: new Uint8Array(),
        header: () => undefined,
        respond: () => {},
      };
      queueMicrotask(() => subscriber.receive(message));
    }
  }

  subscribe(
    subject: string,
    receive: (message: Received) => void,
    options: { queue?: string } = {},
  ): Subscription {
    const subscriber = { matches: subjectMatcher(subject), queue: options.queue, receive };
    this.#subscribers.add(subscriber);
    return { stop: () => this.#subscribers.delete(subscriber) };
  }

  request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#receivers(subject).length === 0) {
      return Promise.reject(new HoldfastError("unavailable", `nobody listens on ${subject}`));
    }
    const inbox = `_INBOX.${this.#inboxes++}`;
    return new Promise((done, failed) => {
      const timer = setTimeout(() => {
        subscription.stop();
        failed(new HoldfastError("timeout", `no answer on ${subject}`));
      }, timeoutMs);
      const subscription = this.subscribe(inbox, ({ data }) => {
        clearTimeout(timer);
        subscription.stop();
        done(data);
      });
      this.publish(subject, payload, inbox);
    });
  }

  #receivers(subject: string): Subscriber[] {
    const queues = new Set<string>();
    return [...this.#subscribers].filter(({ matches, queue }) => {
      if (!matches(subject) || (queue !== undefined && queues.has(queue))) return false;
      if (queue !== undefined) queues.add(queue);
      return true;
    });
  }
}
