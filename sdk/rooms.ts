import type { Error as ErrorFrame, Joined, Left } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Session } from "./connection-state.ts";
import type { ClientBody } from "./encoding.ts";
import { HoldfastSdkError } from "./error.ts";
import { checkId } from "./id.ts";
import type { Sent } from "./link-set.ts";
import type { Message } from "./message.ts";
import type { Place } from "./positions.ts";
import { type Gap, Member, type Room } from "./room.ts";

/**
 * The rooms this client wants to be in. The set outlives connections: after a reconnect every one
 * is joined again, from the newest position seen. One position for each room, whatever link a message
 * comes by, so that none is given to the application twice.
 */
export class Rooms {
  readonly #wanted = new Map<string, Member>();
  /** Waiting for the gateway's Left, oldest first. */
  #leaving: Member[] = [];
  /** What the login of the present connection asked to resume. */
  #resumed: ReadonlySet<string> = new Set();
  /** Where an earlier run of the application stood in rooms that this one has not joined yet. */
  #earlier = new Map<string, Place>();
  readonly #send: (body: ClientBody) => Sent;
  readonly #report: (handling: Promise<void> | undefined) => void;

  /** `report` is given what handlers of room events returned. */
  constructor(
    send: (body: ClientBody) => Sent,
    report: (handling: Promise<void> | undefined) => void,
  ) {
    this.#send = send;
    this.#report = report;
  }

  /** Where an earlier run of the application stood. */
  restore(places: ReadonlyMap<string, Place>): void {
    this.#earlier = new Map(places);
    for (const member of this.#wanted.values()) this.#begin(member);
  }

  get places(): Map<string, Place> {
    const places = new Map(this.#earlier);
    for (const { name, position, epoch } of this.#wanted.values()) {
      if (position > 0n) places.set(name, { position, epoch });
    }
    return places;
  }

  /** Resolves when the gateway says so, however many reconnects that takes; rejects when it refuses. */
  async join(name: string): Promise<Room> {
    checkId("room", name);
    const known = this.#wanted.get(name);
    const member = known ?? this.#want(name);
    if (known === undefined) this.#sendJoin(member);
    await member.joined.promise;
    return member;
  }

  /** For Login.resume; what it names is joined by the login itself. */
  resume(): { room: string; position: bigint; epoch: bigint }[] {
    this.#resumed = new Set(this.#wanted.keys());
    return [...this.#wanted.values()].map(({ name, position, epoch }) => ({
      room: name,
      position,
      epoch,
    }));
  }

  online({ resumed }: Session): void {
    for (const member of this.#wanted.values()) {
      if (!resumed || !this.#resumed.has(member.name)) this.#sendJoin(member);
    }
    // Left while the login was on its way, which has joined them again.
    for (const name of this.#resumed) {
      if (this.#wanted.has(name)) continue;
      const outcome = this.#send({ case: "leave", value: { room: name } });
      if (outcome === "sent") this.#leaving.push(new Member(name, () => {}));
    }
  }

  /** Rooms that were being left are not joined again, so they are left now. */
  offline(): void {
    const leaving = this.#leaving;
    this.#leaving = [];
    for (const member of leaving) this.#hasLeft(member);
  }

  /** Also for rooms that a business server put this device into. */
  joined({ room, position, recovered, epoch }: Joined): Gap | undefined {
    if (this.#leaving.some(({ name }) => name === room) && !this.#wanted.has(room))
      return undefined;
    const member = this.#wanted.get(room) ?? this.#want(room);
    const before = member.position;
    member.epoch = epoch;
    // What is replayed comes after this frame, from where this client stands.
    if (!recovered) member.position = position;
    member.joined.resolve();
    this.#report(member.events.emit("joined", { position, recovered }));
    if (recovered || before === 0n) return undefined;
    return this.gap(room, { after: before, upTo: position, count: undefined });
  }

  /** Tells the room's handlers of it. */
  gap(room: string, gap: Gap): Gap {
    this.#report(this.#wanted.get(room)?.events.emit("gap", gap));
    return gap;
  }

  left({ room }: Left): void {
    const at = this.#leaving.findIndex(({ name }) => name === room);
    const [asked] = at === -1 ? [] : this.#leaving.splice(at, 1);
    const member = asked ?? this.#wanted.get(room);
    if (member === undefined) return;
    if (asked === undefined) this.#wanted.delete(room);
    this.#hasLeft(member);
  }

  refused({ room, code, reason }: ErrorFrame): void {
    const member = this.#wanted.get(room);
    this.#wanted.delete(room);
    member?.joined.reject(new HoldfastSdkError("refused", reason, { closeCode: code }));
    if (member !== undefined) this.#hasLeft(member);
  }

  /** A message to a room. @returns whether it is new. */
  take({ room = "", position }: Message): boolean {
    const member = this.#wanted.get(room);
    if (member === undefined || position === 0n) return true;
    if (position <= member.position) return false;
    member.position = position;
    return true;
  }

  /** A message to one of the rooms. Returns what its handlers returned. */
  message(message: Message): Promise<void> | undefined {
    const member = message.room === undefined ? undefined : this.#wanted.get(message.room);
    return member?.events.emit("message", message);
  }

  close(cause: HoldfastSdkError): void {
    for (const member of this.#wanted.values()) member.joined.reject(cause);
    this.#wanted.clear();
    this.offline();
  }

  #want(name: string): Member {
    const member = new Member(name, (leaver) => this.#leave(leaver));
    // Nobody may be waiting for it, and then its failure is nobody's.
    member.joined.promise.catch(() => {});
    this.#wanted.set(name, member);
    this.#begin(member);
    return member;
  }

  /** Where an earlier run of the application stood. */
  #begin(member: Member): void {
    const place = this.#earlier.get(member.name);
    this.#earlier.delete(member.name);
    if (place === undefined || member.position > 0n) return;
    member.position = place.position;
    member.epoch = place.epoch;
  }

  #leave(member: Member): void {
    if (this.#wanted.get(member.name) !== member) return;
    this.#wanted.delete(member.name);
    member.joined.reject(new HoldfastSdkError("closed", `room "${member.name}" was left`));
    const outcome = this.#send({ case: "leave", value: { room: member.name } });
    if (outcome === "sent") this.#leaving.push(member);
    else this.#hasLeft(member);
  }

  #hasLeft(member: Member): void {
    member.left.resolve();
    this.#report(member.events.emit("left", undefined));
  }

  #sendJoin({ name, position, epoch }: Member): void {
    this.#send({ case: "join", value: { room: name, position, epoch } });
  }
}
