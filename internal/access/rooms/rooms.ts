/** Who is in which room of this node, and the rules of joining and leaving. */
import { create } from "@bufbuild/protobuf";
import {
  type Join,
  JoinedSchema,
  LeftSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { idProblem } from "../../../streams/names.ts";
import type { ChannelHistory, Messages } from "../../bus/contract.ts";
import type { Logger } from "../../observe/logger.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import type { SessionLimits } from "../limits.ts";
import type { ConnectionLog } from "../log/connection-log.ts";
import type { AccessMetrics } from "../metrics.ts";
import { refuse } from "../session/refusal.ts";
import type { Session } from "../session/session.ts";
import { AppChannels } from "./app-channels.ts";
import { Room } from "./room.ts";
import type { RoomZones } from "./room-zones.ts";

export interface JoinRequest {
  room: string;
  /** What was sent since is replayed; 0: nothing. */
  position: number;
}

export function toRequest({ room, position }: Join): JoinRequest {
  return { room, position: Number(position) };
}

export interface RoomsOptions {
  messages: Messages;
  history: ChannelHistory;
  zones: RoomZones;
  log: ConnectionLog;
  limits: SessionLimits;
  metrics: AccessMetrics;
  logger: Logger;
}

export class Rooms {
  readonly #options: RoomsOptions;
  readonly #apps = new Map<string, AppChannels>();

  constructor(options: RoomsOptions) {
    this.#options = options;
    options.zones.changed = (app, id, zone) => {
      const channels = this.#apps.get(app);
      const room = channels?.rooms.get(id);
      if (room !== undefined) channels?.setZone(room, zone);
    };
  }

  /** A session of this app is here from now on: it hears what is sent to everybody. */
  enter(session: Session): void {
    this.#app(session.app).sessions.add(session);
  }

  /** And now it is gone, from every room too. Its own list of rooms stays as it was. */
  exit(session: Session): void {
    const channels = this.#apps.get(session.app);
    if (channels === undefined) return;
    for (const id of session.rooms) this.#takeOut(channels, session, id);
    channels.sessions.delete(session);
    if (channels.sessions.size > 0) return;
    channels.close();
    this.#apps.delete(session.app);
  }

  /** Joins what the rules allow and refuses the rest, each by itself. A second join only replays. */
  join(session: Session, requests: readonly JoinRequest[]): void {
    const before = session.rooms;
    for (const { room, position } of requests) {
      const problem = this.#joinProblem(session, room);
      if (problem === undefined) void this.#admit(session, room, position);
      else refuse(session, problem, { room });
    }
    if (session.rooms !== before) this.#options.log.roomsChanged(session);
  }

  /** Leaves those it is in. Each is answered, so that a client that left twice does not wait. */
  leave(session: Session, ids: readonly string[]): void {
    const channels = this.#app(session.app);
    const before = session.rooms;
    for (const id of ids) {
      if (session.rooms.includes(id)) {
        session.rooms = session.rooms.filter((room) => room !== id);
        this.#takeOut(channels, session, id);
      }
      session.send(SharedFrame.of({ case: "left", value: create(LeftSchema, { room: id }) }));
    }
    if (session.rooms !== before) this.#options.log.roomsChanged(session);
  }

  #joinProblem(session: Session, id: string): string | undefined {
    const problem = idProblem(id);
    if (problem !== undefined) return `join.room ${problem}`;
    const { maxRooms } = this.#options.limits;
    if (session.rooms.length < maxRooms || session.rooms.includes(id)) return undefined;
    return `a connection may be in at most ${maxRooms} rooms`;
  }

  async #admit(session: Session, id: string, position: number): Promise<void> {
    try {
      const room = this.#room(session.app, id);
      if (!room.members.has(session)) session.rooms = [...session.rooms, room.id];
      room.add(session);
      const { newest, missed } = await room.replaySince(position);
      const held = room.release(session);
      // It may have left or ended while the answer was on its way.
      if (!room.members.has(session)) return;
      session.send(joined(id, newest, missed !== undefined));
      let last = 0;
      for (const message of missed ?? []) {
        session.deliver(message.frame, message.priority);
        last = message.position;
      }
      for (const message of held) {
        if (message.position > last) session.deliver(message.frame, message.priority);
      }
    } catch (error) {
      session.fault(error);
    }
  }

  #app(app: string): AppChannels {
    let channels = this.#apps.get(app);
    if (channels === undefined) {
      const { messages } = this.#options;
      channels = new AppChannels({ app, messages, count: this.#count, failed: this.#failed });
      this.#apps.set(app, channels);
    }
    return channels;
  }

  #room(app: string, id: string): Room {
    const channels = this.#app(app);
    let room = channels.rooms.get(id);
    if (room === undefined) {
      const { messages, history, zones, limits, metrics } = this.#options;
      room = new Room({
        channel: { kind: "room", app, id },
        messages,
        history,
        maxReplay: limits.maxReplay,
        count: this.#count,
        failed: this.#failed,
      });
      channels.rooms.set(id, room);
      channels.setZone(room, zones.zoneOf(app, id));
      metrics.rooms += 1;
    }
    return room;
  }

  #takeOut(channels: AppChannels, session: Session, id: string): void {
    const room = channels.rooms.get(id);
    if (room === undefined) return;
    room.remove(session);
    if (room.members.size > 0) return;
    channels.setZone(room, "");
    channels.rooms.delete(id);
    room.close();
    this.#options.metrics.rooms -= 1;
  }

  readonly #count = (): void => {
    this.#options.metrics.channelMessages += 1;
  };

  readonly #failed = (error: unknown): void => {
    this.#options.logger.warn({ err: error }, "a room, zone or broadcast could not be served");
  };
}

function joined(room: string, position: number, recovered: boolean): SharedFrame {
  const value = create(JoinedSchema, { room, position: BigInt(position), recovered });
  return SharedFrame.of({ case: "joined", value });
}
