/** Who is in which room of this node, and the rules of joining and leaving. */
import { create } from "@bufbuild/protobuf";
import {
  type Join,
  JoinedSchema,
  LeftSchema,
  type Resume,
  SkippedSchema,
  StandingSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { idProblem } from "../../../streams/names.ts";
import type { Channel } from "../../../streams/subjects.ts";
import type { ChannelHistory, Link, Messages } from "../../bus/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import { type Rate, TokenBucket } from "../../clock/token-bucket.ts";
import type { Wheel } from "../../clock/wheel.ts";
import type { Logger } from "../../observe/logger.ts";
import type { ServerBody } from "../../wire/codec.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import type { SessionLimits } from "../limits.ts";
import type { AccessMetrics } from "../metrics.ts";
import { refuse } from "../session/refusal.ts";
import { isLoggedIn } from "../session/session-state.ts";
import type { Since } from "./channel-log.ts";
import type { Feed } from "./feed.ts";
import { Feeds } from "./feeds.ts";
import { Laggards } from "./laggards.ts";
import { Member, type RoomSession } from "./member.ts";
import { Readings } from "./readings.ts";
import type { RoomRulesView } from "./room-rules-view.ts";
import type { RoomRules } from "./rules.ts";
import { Turns } from "./turns.ts";

export interface JoinRequest extends Since {
  room: string;
}

export function toRequest({ room, position, epoch }: Join): JoinRequest {
  return { room, position: Number(position), epoch: Number(epoch) };
}

/** Where a client stood in the zones, by id, and under "" in the broadcasts. */
export type Standings = ReadonlyMap<string, Since>;

export function toStandings(resume: Resume | undefined): Standings {
  const standings = resume?.standings ?? [];
  return new Map(
    standings.map(({ zone, position, epoch }) => [
      zone,
      { position: Number(position), epoch: Number(epoch) },
    ]),
  );
}

/** How large and how often. */
export interface FeedSizes {
  /** What one ring takes at most. */
  ringBytes: number;
  /** What a member is given in one go. */
  parcelBytes: number;
  /** How often the stream is looked at. */
  checkMs: number;
}

export interface RoomsOptions {
  messages: Messages;
  history: ChannelHistory;
  link: Link;
  rules: RoomRulesView;
  clock: Clock;
  wheel: Wheel;
  limits: SessionLimits;
  metrics: AccessMetrics;
  logger: Logger;
  /** Calls in a later turn of the event loop. */
  defer?: (fire: () => void) => void;
  sizes?: FeedSizes;
}

/** Questions of a node at the stream at once. */
const READINGS = 16;
/** Joins of one connection for which the stream has to be asked. */
const ASKING_JOINS: Rate = { perSecond: 10, burst: 300 };
/** How long one turn of the event loop may be busy with room messages. */
const TURN_MS = 5;
const SIZES: FeedSizes = { ringBytes: 1_048_576, parcelBytes: 65_536, checkMs: 10_000 };
const FROM_NOW_ON: Since = { position: 0, epoch: 0 };
const NO_STANDINGS: Standings = new Map();

export class Rooms {
  readonly #options: RoomsOptions;
  readonly #feeds: Feeds;
  readonly #laggards: Laggards;

  constructor(options: RoomsOptions) {
    const { messages, history, link, clock, wheel, limits, metrics, logger, rules } = options;
    const { sizes = SIZES } = options;
    this.#options = options;
    this.#laggards = new Laggards({
      wheel,
      hardLimitBytes: limits.hardLimitBytes,
      waitingFor: (session) => this.#waitingFor(session),
    });
    const failed = (error: unknown) => {
      logger.warn({ err: error }, "a room, zone or broadcast could not be served");
    };
    this.#feeds = new Feeds({
      services: {
        messages,
        history,
        link,
        clock,
        readings: new Readings(READINGS),
        turns: new Turns({
          now: () => clock.monotonic(),
          defer: options.defer ?? setImmediate,
          budgetMs: TURN_MS,
        }),
        parcelBytes: sizes.parcelBytes,
        softLimitBytes: limits.softLimitBytes,
        count: () => {
          metrics.channelMessages += 1;
        },
        failed,
        stands,
        skipped: (member, after, upTo, count) => {
          metrics.dropped += count;
          skipped(member, after, upTo, count);
        },
        behind: (session) => this.#laggards.behind(session),
      },
      history,
      link,
      clock,
      wheel,
      mostRingBytes: sizes.ringBytes,
      checkMs: sizes.checkMs,
      roomsChanged: (by) => {
        metrics.rooms += by;
      },
    });
    rules.changed = (app, id, present) => {
      const room = this.#feeds.find({ kind: "room", app, id });
      if (room !== undefined) this.#setRules(room, present);
    };
  }

  stop(): void {
    this.#feeds.stop();
  }

  /** A session of this app is here from now on: it hears what is sent to everybody. */
  enter(session: RoomSession, standings: Standings): void {
    if (!isLoggedIn(session.state)) return;
    const everybody = this.#feeds.open({ kind: "all", app: session.app });
    this.#add(session, everybody, standings.get("") ?? FROM_NOW_ON);
  }

  /** And now it is gone, from every room too. Its own list of rooms stays as it was. */
  exit(session: RoomSession): void {
    const { members } = session;
    session.members = [];
    for (const member of members) this.#remove(member);
    this.#laggards.forget(session);
  }

  /** The session's socket has taken all that it was given. */
  drained(session: RoomSession): void {
    this.#laggards.progressed(session);
    for (const member of session.members) {
      if (!session.clear) return;
      if (member.feed.lacks(member)) member.feed.serve(member);
    }
  }

  /**
   * The rooms of a resume that may be entered, each once. With `session.rooms` set to them before the log
   * is told of the connection, joining them later is no change that the log has to be told of.
   */
  admissible(wanted: readonly JoinRequest[]): string[] {
    const good = wanted.map(({ room }) => room).filter((room) => idProblem(room) === undefined);
    return [...new Set(good)].slice(0, this.#options.limits.maxRooms);
  }

  /**
   * Joins what the rules allow and refuses the rest, each by itself. A second join only replays.
   * `standings` are those of a resume.
   */
  join(session: RoomSession, requests: readonly JoinRequest[], standings = NO_STANDINGS): void {
    const before = session.rooms;
    for (const request of requests) {
      // An answer that a slow client has no room for ends its session.
      if (!isLoggedIn(session.state)) break;
      const problem = this.#joinProblem(session, request);
      if (problem === undefined) this.#admit(session, request, standings);
      else refuse(session, problem, { room: request.room });
    }
    if (session.rooms !== before && isLoggedIn(session.state)) {
      session.roomsChanged();
    }
  }

  /** Leaves those it is in. Each is answered, so that a client that left twice does not wait. */
  leave(session: RoomSession, ids: readonly string[]): void {
    const before = session.rooms;
    for (const id of ids) {
      if (!isLoggedIn(session.state)) break;
      if (session.rooms.includes(id)) {
        session.rooms = session.rooms.filter((room) => room !== id);
        this.#takeOut(session, id);
      }
      session.send(SharedFrame.of({ case: "left", value: create(LeftSchema, { room: id }) }));
    }
    if (session.rooms !== before && isLoggedIn(session.state)) {
      session.roomsChanged();
    }
  }

  #joinProblem(session: RoomSession, request: JoinRequest): string | undefined {
    const { room: id } = request;
    const problem = idProblem(id);
    if (problem !== undefined) return `join.room ${problem}`;
    const { maxRooms } = this.#options.limits;
    if (session.rooms.length >= maxRooms && !session.rooms.includes(id)) {
      return `a connection may be in at most ${maxRooms} rooms`;
    }
    const room = this.#feeds.find({ kind: "room", app: session.app, id });
    if (room !== undefined && !room.asksFor(request)) return undefined;
    return this.#mayAsk(session)
      ? undefined
      : `at most ${ASKING_JOINS.perSecond} rooms a second that have to be looked up`;
  }

  #mayAsk(session: RoomSession): boolean {
    const now = this.#options.clock.monotonic();
    session.askingJoins ??= new TokenBucket(ASKING_JOINS, now);
    return session.askingJoins.take(now);
  }

  #admit(session: RoomSession, request: JoinRequest, standings: Standings): void {
    const { app } = session;
    const { room: id } = request;
    const channel: Channel = { kind: "room", app, id };
    const known = memberOf(session, this.#feeds.find(channel));
    if (!session.rooms.includes(id)) session.rooms = [...session.rooms, id];
    if (known !== undefined) {
      known.feed.again(known, request);
      return;
    }
    const room = this.#feeds.open(channel);
    room.rules = this.#options.rules.of(app, id);
    this.#add(session, room, request);
    const { zone } = room.rules;
    if (zone !== "") this.#hearZone(session, zone, sinceInZone(zone, request, standings));
  }

  #hearZone(session: RoomSession, id: string, since: Since): void {
    const channel: Channel = { kind: "zone", app: session.app, id };
    const known = memberOf(session, this.#feeds.find(channel));
    if (known === undefined) this.#add(session, this.#feeds.open(channel), since);
    else known.holds += 1;
  }

  #unhearZone(session: RoomSession, id: string): void {
    const member = memberOf(session, this.#feeds.find({ kind: "zone", app: session.app, id }));
    if (member === undefined) return;
    member.holds -= 1;
    if (member.holds > 0) return;
    this.#drop(member);
    if (session.batching === undefined) return;
    const value = create(StandingSchema, { zone: id });
    session.send(SharedFrame.of({ case: "standing", value }));
  }

  #setRules(room: Feed, rules: RoomRules): void {
    const { zone: before } = room.rules;
    const { zone } = rules;
    room.rules = rules;
    if (before === zone) return;
    for (const { session } of [...room.members]) {
      if (!isLoggedIn(session.state)) continue;
      if (zone !== "") this.#hearZone(session, zone, FROM_NOW_ON);
      if (before !== "") this.#unhearZone(session, before);
    }
  }

  #add(session: RoomSession, feed: Feed, since: Since): void {
    const member = new Member(session, feed, since);
    this.#feeds.entering(feed);
    // First, so that the end of the session finds it: being answered may be that end.
    session.members.push(member);
    feed.join(member);
  }

  #takeOut(session: RoomSession, id: string): void {
    const member = memberOf(session, this.#feeds.find({ kind: "room", app: session.app, id }));
    if (member === undefined) return;
    this.#drop(member);
    const { zone } = member.feed.rules;
    if (zone !== "") this.#unhearZone(session, zone);
  }

  #drop(member: Member): void {
    const { session } = member;
    session.members = session.members.filter((other) => other !== member);
    this.#remove(member);
  }

  #remove(member: Member): void {
    member.feed.remove(member);
    this.#feeds.left(member.feed);
  }

  #waitingFor(session: RoomSession): number {
    return session.members.reduce((sum, member) => sum + member.feed.bytesFor(member), 0);
  }
}

function memberOf(session: RoomSession, feed: Feed | undefined): Member | undefined {
  return feed && session.members.find((member) => member.feed === feed);
}

/**
 * Where a session that resumes begins in the zone of a room: where it stood in it; else, when the room has
 * come into the zone meanwhile, where it stood in the room.
 */
function sinceInZone(zone: string, room: Since, standings: Standings): Since {
  const known = standings.get(zone);
  if (known !== undefined) return known;
  return standings.size > 0 ? { position: room.position, epoch: room.epoch } : FROM_NOW_ON;
}

function stands({ session, feed }: Member, head: number, recovered: boolean): void {
  const position = BigInt(head);
  const epoch = BigInt(feed.epoch);
  const { channel } = feed;
  if (channel.kind === "room") {
    const value = create(JoinedSchema, { room: channel.id, position, epoch, recovered });
    session.send(SharedFrame.of({ case: "joined", value }));
  } else if (session.batching !== undefined) {
    const zone = channel.kind === "zone" ? channel.id : "";
    const value = create(StandingSchema, { zone, position, epoch, recovered });
    session.send(SharedFrame.of({ case: "standing", value }));
  }
}

function skipped(member: Member, after: number, upTo: number, count: number): void {
  const { session, feed } = member;
  if (session.batching === undefined) return;
  const { channel } = feed;
  const value = create(SkippedSchema, {
    ...(channel.kind === "room" && { room: channel.id }),
    ...(channel.kind === "zone" && { zone: channel.id }),
    after: BigInt(after),
    upTo: BigInt(upTo),
    count,
  });
  const body: ServerBody = { case: "skipped", value };
  session.send(SharedFrame.of(body));
}
