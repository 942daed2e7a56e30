import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Effect, fold } from "../../internal/projector/fold/fold.ts";
import { type Progress, RouteTable } from "../../internal/projector/fold/route-table.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { connectionHash, DigestSum } from "../../streams/digest.ts";
import type { Route } from "../../streams/records.ts";

type Body = MessageInitShape<typeof RecordSchema>["body"] & object;

export interface ConnectionInit {
  /** "<incarnation>.<counter>" */
  id: string;
  device: string;
  user?: string;
  openedAtMs?: number;
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
    return this.#node(init.id, { case: "connected", value: { connection: connection(init) } });
  }

  disconnected(id: string, device: string, reason = "client-closed"): Effect[] {
    const value = { connectionId: id, app: "demo", device, reason };
    return this.#node(id, { case: "disconnected", value });
  }

  rooms(id: string, device: string, rooms: string[]): Effect[] {
    const value = { connectionId: id, app: "demo", device, rooms };
    return this.#node(id, { case: "roomsChanged", value });
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

  record(body: Body, number: number, sequence = this.sequence + 1): Effect[] {
    this.sequence = Math.max(this.sequence, sequence);
    const record = create(RecordSchema, { atMs: BigInt(this.atMs), number: BigInt(number), body });
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

  #node(id: string, body: Body): Effect[] {
    const incarnation = id.slice(0, id.lastIndexOf("."));
    const number = this.numberOf(incarnation) + 1;
    this.#numbers.set(incarnation, number);
    return this.record(body, number);
  }
}

export function connection({ id, device, user = "", openedAtMs = 0, rooms = [] }: ConnectionInit) {
  return { id, app: "demo", device, user, openedAtMs: BigInt(openedAtMs), rooms };
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
