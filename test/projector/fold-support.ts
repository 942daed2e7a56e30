import { create } from "@bufbuild/protobuf";
import { type Effect, fold } from "../../internal/projector/fold/fold.ts";
import { type Progress, RouteTable } from "../../internal/projector/fold/route-table.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { connectionHash, DigestSum } from "../../streams/digest.ts";
import type { Route } from "../../streams/records.ts";
import { type EventBody, eventsOf, type RecordBody } from "../support/log-events.ts";

export interface ConnectionInit {
  /** "<incarnation>.<counter>" */
  id: string;
  device: string;
  user?: string;
  openedAtMs?: number;
  loginNumber?: number;
  rooms?: string[];
}

/** A log that is folded as it is written. Numbers and sequences count on by themselves. */
export class FoldedLog {
  table: RouteTable;
  atMs = 1_000;
  sequence: number;
  readonly #numbers = new Map<string, number>();

  constructor(table = new RouteTable()) {
    this.table = table;
    this.sequence = table.position;
  }

  static restored(progress: Progress, routes: Route[]): FoldedLog {
    return new FoldedLog(RouteTable.restore(progress, routes));
  }

  connected(init: ConnectionInit): Effect[] {
    return this.events(init.id, { case: "connected", value: { connection: connection(init) } });
  }

  disconnected(id: string, device: string, reason = "client-closed"): Effect[] {
    const value = { connectionId: id, app: "demo", device, reason };
    return this.events(id, { case: "disconnected", value });
  }

  rooms(id: string, device: string, rooms: string[]): Effect[] {
    const value = { connectionId: id, app: "demo", device, rooms };
    return this.events(id, { case: "roomsChanged", value });
  }

  /** One record with several events of the incarnation that `id` is of. */
  events(id: string, ...bodies: EventBody[]): Effect[] {
    return this.#node(id, eventsOf(incarnationOf(id), ...bodies));
  }

  announced(
    incarnation: string,
    connections: ConnectionInit[],
    { first = true, last = true } = {},
  ): Effect[] {
    const value = { incarnation, connections: connections.map(connection), first, last };
    return this.#node(`${incarnation}.0`, { case: "announced", value });
  }

  digest(incarnation: string, connections: ConnectionInit[]): Effect[] {
    const sum = new DigestSum();
    for (const { id, device, rooms = [] } of connections) {
      sum.add(connectionHash(Number(id.slice(id.lastIndexOf(".") + 1)), "demo", device, rooms));
    }
    const value = { incarnation, connections: sum.count, hash: BigInt(sum.hash) };
    return this.#node(`${incarnation}.0`, { case: "digest", value });
  }

  nodeDown(incarnation: string): Effect[] {
    return this.record({ case: "nodeDown", value: { incarnation } }, 0);
  }

  /** Leaves out a number, as if a record had gone missing. */
  skip(incarnation: string): void {
    this.#numbers.set(incarnation, (this.#numbers.get(incarnation) ?? 0) + 1);
  }

  /** `stored`: what the node knows to be stored. Unless said: everything before this record. */
  record(
    body: RecordBody,
    number: number,
    { sequence = this.sequence + 1, stored = Math.max(0, number - 1) } = {},
  ): Effect[] {
    this.sequence = Math.max(this.sequence, sequence);
    const about = { atMs: BigInt(this.atMs), number: BigInt(number), stored: BigInt(stored) };
    const record = create(RecordSchema, { ...about, body });
    const effects: Effect[] = [];
    fold(this.table, sequence, record, effects);
    return effects;
  }

  /** The number that the newest record of an incarnation had. */
  numberOf(incarnation: string): number {
    return this.#numbers.get(incarnation) ?? 0;
  }

  route(device: string): Route | undefined {
    return this.table.device("demo", device)?.route;
  }

  /** "<connection>" while online, "offline (<reason>)", or "unknown". */
  where(device: string): string {
    const route = this.route(device);
    if (route === undefined) return "unknown";
    return route.online ? route.connection : `offline (${route.reason})`;
  }

  #node(id: string, body: RecordBody): Effect[] {
    const incarnation = incarnationOf(id);
    const number = this.numberOf(incarnation) + 1;
    this.#numbers.set(incarnation, number);
    return this.record(body, number);
  }
}

export function connection(init: ConnectionInit) {
  const { id, device, user = "", openedAtMs = 0, loginNumber = 0, rooms = [] } = init;
  const numbers = { openedAtMs: BigInt(openedAtMs), loginNumber: BigInt(loginNumber) };
  return { id, app: "demo", device, user, rooms, ...numbers };
}

function incarnationOf(id: string): string {
  return id.slice(0, id.lastIndexOf("."));
}

/** Effects as short texts, such as "route d1" or "kick a.1". */
export function texts(effects: readonly Effect[]): string[] {
  return effects.map(textOf);
}

function textOf(effect: Effect): string {
  switch (effect.kind) {
    case "route":
    case "user":
      return `${effect.kind} ${effect.device.route.device}`;
    case "kick":
      return `kick ${effect.incarnation}.${effect.counter}`;
    case "announce":
      return `announce ${effect.incarnation}`;
  }
}
