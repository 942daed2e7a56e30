import { type Deferred, deferred } from "./deferred.ts";
import { Emitter, type Handler } from "./emitter.ts";
import type { Message } from "./message.ts";

/** Messages between two positions that this client does not get. */
export interface Gap {
  /** They lie above this position, */
  after: bigint;
  /** and at most at this one. */
  upTo: bigint;
  /** How many; undefined when that is not known, and there may be none. */
  count: number | undefined;
}

export interface RoomEvents {
  message: Message;
  /** Joined, also again after a reconnect. When not `recovered`, messages may have been missed. */
  joined: { position: bigint; recovered: boolean };
  /** What was missed and cannot be had any more, or was left out because this client was too slow. */
  gap: Gap;
  /** Left, also when a business server took this device out. */
  left: undefined;
}

/** A room this client is in. */
export interface Room {
  readonly name: string;
  /** The position of the newest message seen. */
  readonly position: bigint;
  /** Returns the function that removes the handler again. */
  on<Name extends keyof RoomEvents>(name: Name, handler: Handler<RoomEvents[Name]>): () => void;
  /** Resolves when this client is out of the room. */
  leave(): Promise<void>;
}

/** The SDK's side of a room. */
export class Member implements Room {
  readonly name: string;
  readonly events = new Emitter<RoomEvents>();
  readonly joined: Deferred<void> = deferred();
  readonly left: Deferred<void> = deferred();
  position = 0n;
  /** Positions of another epoch say nothing. */
  epoch = 0n;
  readonly #leave: (member: Member) => void;

  constructor(name: string, leave: (member: Member) => void) {
    this.name = name;
    this.#leave = leave;
  }

  on<Name extends keyof RoomEvents>(name: Name, handler: Handler<RoomEvents[Name]>): () => void {
    return this.events.on(name, handler);
  }

  leave(): Promise<void> {
    this.#leave(this);
    return this.left.promise;
  }
}
