import { encodeJson, type StateEvent } from "../../streams/records.ts";
import {
  businessStateSubject,
  connectionStateSubject,
  roomStateSubject,
} from "../../streams/subjects.ts";
import type { Appender } from "../bus/contract.ts";

/** What may be done only when everything told before is stored. */
interface Held {
  /** Events that are not stored yet. */
  left: number;
  readonly then: () => void;
}

/**
 * Tells business servers what happened to connections, each event once, in the order of the log.
 *
 * What must not be known before they are told (the route that makes a later owner skip the record)
 * waits here until the stream has the events. An owner that ends in between leaves the record to the
 * next, who tells the same again under the same ids, and the stream drops what it has already.
 */
export class StateFeed {
  readonly #appender: Pick<Appender, "append">;
  #held: Held[] = [];
  /** The first that is still held. */
  #head = 0;
  #closed = false;

  constructor(appender: Pick<Appender, "append">) {
    this.#appender = appender;
  }

  /** What waits for events. */
  get backlog(): number {
    return this.#held.length - this.#head;
  }

  /** Publishes events; `then` is called when these and all before them are stored, perhaps at once. */
  tell(events: readonly StateEvent[], then: () => void): void {
    if (this.#closed) return;
    if (events.length === 0 && this.backlog === 0) {
      then();
      return;
    }
    const held = { left: events.length, then };
    this.#held.push(held);
    const done = () => {
      held.left -= 1;
      if (held.left === 0) this.#drain();
    };
    for (const event of events) {
      // Refused is what NATS will never take, and nobody can do anything about.
      const options = { headers: { "Nats-Msg-Id": event.id }, refused: done };
      this.#appender.append(subjectOf(event), encodeJson(event), done, options);
    }
  }

  /** Calls nothing more. What is under way may still be stored, which does no harm. */
  close(): void {
    this.#closed = true;
    this.#held = [];
    this.#head = 0;
  }

  #drain(): void {
    for (;;) {
      const first = this.#held[this.#head];
      if (first === undefined || first.left > 0) break;
      this.#head += 1;
      first.then();
    }
    if (this.#head === this.#held.length || this.#head > 1_024) {
      this.#held = this.#held.slice(this.#head);
      this.#head = 0;
    }
  }
}

function subjectOf({ event, app, device, room, business }: StateEvent): string {
  switch (event) {
    case "online":
    case "offline":
      return business === ""
        ? connectionStateSubject(app, event, device)
        : businessStateSubject(app, business, event, device);
    case "enter":
    case "leave":
      return roomStateSubject(app, event, room);
  }
}
