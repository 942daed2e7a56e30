import { toToken } from "../../streams/names.ts";
import { encodeJson, type StateEvent } from "../../streams/records.ts";
import {
  businessStateSubject,
  connectionStateSubject,
  roomStateSubject,
} from "../../streams/subjects.ts";
import type { KeyedAppender } from "../bus/contract.ts";

/** While more events wait than the first, no more records are taken, until there are fewer than the second. */
const CROWDED_ABOVE = 4_096;
const ROOM_BELOW = 1_024;

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
  readonly #appender: Pick<KeyedAppender, "append" | "forget">;
  readonly #room: () => void;
  #held: Held[] = [];
  /** The first that is still held. */
  #head = 0;
  /** Events that are not stored yet. */
  #waiting = 0;
  #crowded = false;
  #closed = false;

  /** `room` is called when it is not `crowded` any more. */
  constructor(appender: Pick<KeyedAppender, "append" | "forget">, room: () => void = () => {}) {
    this.#appender = appender;
    this.#room = room;
  }

  /** True while so many events wait that no more records are to be folded. */
  get crowded(): boolean {
    return this.#crowded;
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
    this.#waiting += events.length;
    if (this.#waiting > CROWDED_ABOVE) this.#crowded = true;
    const done = () => {
      if (this.#closed) return;
      held.left -= 1;
      this.#waiting -= 1;
      if (held.left === 0) this.#drain();
      this.#makeRoom();
    };
    for (const event of events) {
      // Refused is what NATS will never take, and nobody can do anything about.
      const options = { headers: { "Nats-Msg-Id": event.id }, refused: done, owner: this };
      const { app, device } = event;
      this.#appender.append(
        `${toToken(app)}.${toToken(device)}`,
        subjectOf(event),
        encodeJson(event),
        done,
        options,
      );
    }
  }

  /**
   * Calls nothing more, and sends nothing more: whoever owns the partition now tells it all. What is on
   * its way may still be stored, however late; whoever reads it sees by its id and sequence that it is
   * a repeat.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#held = [];
    this.#head = 0;
    this.#appender.forget(this);
  }

  #makeRoom(): void {
    if (!this.#crowded || this.#waiting >= ROOM_BELOW) return;
    this.#crowded = false;
    this.#room();
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
