import { brotliDecompressSync, inflateSync, zstdDecompressSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Since } from "../../../internal/access/rooms/channel-log.ts";
import type { BatchEncoding } from "../../../internal/wire/batch-frame.ts";
import {
  type Batch,
  type Message,
  Message_Priority,
  MessageSchema,
  type ServerFrame,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type Channel, channelLiveSubject } from "../../../streams/subjects.ts";
import type { RoomsCluster } from "./cluster.ts";
import { SimSession } from "./session.ts";
import type { SimMessage } from "./stream.ts";

export const ZONE = "north";
export const ZONED_ROOMS = ["a", "b"];

/** Where the client stands in a channel. */
interface Standing {
  position: number;
  epoch: number;
  /** What was left out is in here, as far as it was told. */
  skipped: { after: number; upTo: number }[];
}

/** A client that keeps a position for each channel, and checks everything that it is given. */
export class SimRoomClient {
  readonly name: string;
  /** Whether it hears of zones and broadcasts where it stands. */
  readonly modern: boolean;
  readonly standings = new Map<string, Standing>();
  /** Rooms it wants to be in. */
  readonly wanted = new Set<string>();
  readonly #leaving = new Set<string>();
  readonly #cluster: RoomsCluster;
  session: SimSession | undefined;
  received = 0;

  readonly #encoding: BatchEncoding | undefined;

  constructor(name: string, modern: boolean, cluster: RoomsCluster) {
    const { world } = cluster;
    this.#encoding = modern
      ? world.pick(["identity", "identity", "identity", "zlib"] as const)
      : undefined;
    this.name = name;
    this.modern = modern;
    this.#cluster = cluster;
  }

  connect(): void {
    const { world } = this.#cluster;
    const node = world.pick(this.#cluster.nodes.filter(({ alive }) => alive));
    if (node === undefined || this.session !== undefined) return;
    const session = new SimSession(world, node, this.#encoding);
    this.session = session;
    session.pace = world.chance(0.2) ? world.between(20, 300) : world.between(0.1, 3);
    session.onFrame = (frame) => {
      if (this.session !== session) return;
      if (frame !== undefined) this.#frame(frame);
      else this.session = undefined;
    };
    const standings = new Map<string, Since>();
    if (this.modern) {
      for (const [key, { position, epoch }] of this.standings) {
        if (key === "all") standings.set("", { position, epoch });
        if (key.startsWith("zone/")) standings.set(key.slice(5), { position, epoch });
      }
    }
    this.#leaving.clear();
    node.rooms.enter(session, standings);
    const requests = [...this.wanted].map((room) => ({ room, ...this.#since(`room/${room}`) }));
    node.rooms.join(session, requests, standings);
  }

  join(room: string): void {
    if (this.#leaving.has(room) || this.wanted.has(room)) return;
    this.wanted.add(room);
    const { session } = this;
    session?.node.rooms.join(session, [{ room, position: 0, epoch: 0 }]);
  }

  leave(room: string): void {
    if (!this.wanted.delete(room)) return;
    this.standings.delete(`room/${room}`);
    if (!this.#hearsZone()) this.standings.delete(`zone/${ZONE}`);
    const { session } = this;
    if (session === undefined) return;
    this.#leaving.add(room);
    session.node.rooms.leave(session, [room]);
  }

  #hearsZone(): boolean {
    return ZONED_ROOMS.some((room) => this.wanted.has(room));
  }

  #since(key: string): Since {
    const { position, epoch } = this.standings.get(key) ?? { position: 0, epoch: 0 };
    return { position, epoch };
  }

  #frame({ body }: ServerFrame): void {
    switch (body.case) {
      case "joined": {
        const { room, position, epoch, recovered } = body.value;
        if (!this.wanted.has(room)) return;
        this.#stands(`room/${room}`, Number(position), Number(epoch), recovered);
        return;
      }
      case "standing": {
        const { zone, position, epoch, recovered } = body.value;
        if (zone !== "" && position === 0n) {
          this.standings.delete(`zone/${zone}`);
          return;
        }
        if (zone !== "" && !this.#hearsZone()) return;
        const key = zone === "" ? "all" : `zone/${zone}`;
        this.#stands(key, Number(position), Number(epoch), recovered);
        return;
      }
      case "left":
        this.#leaving.delete(body.value.room);
        return;
      case "skipped": {
        const { room, zone, after, upTo, count } = body.value;
        const key = room !== "" ? `room/${room}` : zone !== "" ? `zone/${zone}` : "all";
        this.#skipped(key, Number(after), Number(upTo), count);
        return;
      }
      case "push":
        if (body.value.message !== undefined) this.#message(body.value.message);
        return;
      case "batch":
        if (!this.modern) this.#wrong("was sent a batch");
        for (const message of messagesOf(body.value)) this.#message(message);
        return;
      case "error":
        this.#wrong(`was refused: ${body.value.reason}`);
        return;
      default:
        this.#wrong(`was sent ${body.case}`);
    }
  }

  #stands(key: string, position: number, epoch: number, recovered: boolean): void {
    const { stream } = this.#cluster;
    const mine = this.standings.get(key);
    if (position === 0) this.#wrong(`${key}: stands at 0`);
    if (recovered) {
      // It stood in the room, and had not been told yet where in its zone.
      if (mine === undefined && key.startsWith("zone/"))
        this.standings.set(key, { position: 0, epoch, skipped: [] });
      else if (mine === undefined) this.#wrong(`${key}: recovered from nowhere`);
      else if (mine.epoch !== epoch) this.#wrong(`${key}: recovered over an epoch`);
      return;
    }
    if (mine !== undefined && mine.epoch === stream.epoch) {
      const missed = this.#sent(key).filter(
        (one) => one.epoch === epoch && one.position > mine.position && one.position <= position,
      );
      if (missed.length > 0 && stream.whole(subjectOf(key), mine.position)) {
        this.#wrong(`${key}: ${missed.length} that are kept were given up after ${mine.position}`);
      }
    }
    this.standings.set(key, { position, epoch, skipped: [] });
  }

  #skipped(key: string, after: number, upTo: number, count: number): void {
    const mine = this.standings.get(key);
    if (mine === undefined) return;
    const low = this.#sent(key).filter(
      ({ position, priority }) =>
        position > after && position <= upTo && priority === Message_Priority.LOW,
    );
    // A stream that was made anew may have begun before the client hears of its epoch.
    if (
      ![...epochs(low)].some((epoch) => low.filter((one) => one.epoch === epoch).length === count)
    ) {
      this.#wrong(`${key}: ${count} skipped, and there are ${low.length}`);
    }
    mine.skipped.push({ after, upTo });
  }

  #message(message: Message): void {
    const { room, zone } = message;
    if (room !== "" && !this.wanted.has(room)) return;
    if (zone !== "" && !this.#hearsZone()) return;
    const key = room !== "" ? `room/${room}` : zone !== "" ? `zone/${zone}` : "all";
    const position = Number(message.position);
    const mine = this.standings.get(key);
    this.received += 1;
    if (mine === undefined) {
      if (key !== "all" && this.#leaving.size > 0) return;
      // Nobody tells it of zones and broadcasts: it knows the order and no more.
      if (this.modern || room !== "") this.#wrong(`${key}: ${position} before it stands anywhere`);
      return;
    }
    const one = this.#sent(key).find((sent) => sent.position === position);
    if (one === undefined) {
      this.#wrong(`${key}: ${position} was never sent`);
      return;
    }
    if (position <= mine.position) {
      this.#wrong(`${key}: ${position} after ${mine.position}`);
      return;
    }
    for (const other of mine.position === 0 ? [] : this.#sent(key)) {
      const between = other.position > mine.position && other.position < position;
      if (between && other.epoch === one.epoch && !this.#excused(mine, other)) {
        this.#wrong(`${key}: ${other.position} was lost between ${mine.position} and ${position}`);
      }
    }
    mine.position = position;
  }

  #excused(mine: Standing, { position, priority }: SimMessage): boolean {
    if (priority !== Message_Priority.LOW) return false;
    if (!this.modern) return true;
    return mine.skipped.some(({ after, upTo }) => position > after && position <= upTo);
  }

  /** After everything has settled. */
  check(): void {
    for (const [key, { position, epoch }] of this.standings) {
      if (key.startsWith("room/") && !this.wanted.has(key.slice(5))) continue;
      const last = this.#sent(key).findLast((one) => one.epoch === this.#cluster.stream.epoch);
      if (last === undefined) continue;
      if (position < last.position) {
        this.#wrong(`${key}: ends at ${position} of ${epoch}, and the last was ${last.position}`);
      }
    }
    for (const room of this.wanted) {
      if (!this.standings.has(`room/${room}`)) this.#wrong(`never joined ${room}`);
    }
  }

  #sent(key: string): SimMessage[] {
    return this.#cluster.stream.sent.get(subjectOf(key)) ?? [];
  }

  #wrong(what: string): void {
    this.#cluster.wrong.push(`${Math.round(this.#cluster.world.now)} ms: ${this.name}: ${what}`);
  }
}

const DECOMPRESS: Record<string, (data: Uint8Array) => Uint8Array> = {
  "": (data) => data,
  zlib: inflateSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};

function messagesOf({ data, encoding }: Batch): Message[] {
  const reader = new BinaryReader(DECOMPRESS[encoding]?.(data) ?? new Uint8Array());
  const messages: Message[] = [];
  while (reader.pos < reader.len) messages.push(fromBinary(MessageSchema, reader.bytes()));
  return messages;
}

function epochs(messages: readonly SimMessage[]): Set<number> {
  return new Set(messages.map(({ epoch }) => epoch));
}

function subjectOf(key: string): string {
  const [kind, id = ""] = key.split("/");
  const channel: Channel =
    kind === "room" || kind === "zone" ? { kind, app: "demo", id } : { kind: "all", app: "demo" };
  return channelLiveSubject(channel);
}
