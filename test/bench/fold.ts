/**
 * How many log records one core folds a second, from the bytes of the log to the bytes of the
 * buckets. Run it with `npx node test/bench/fold.ts`.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Effect, fold } from "../../internal/projector/fold/fold.ts";
import { RouteTable } from "../../internal/projector/fold/route-table.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { encodeJson } from "../../streams/records.ts";
import { eventsOf } from "../support/log-events.ts";
import { printSetting } from "./support/report.ts";

const DEVICES = 50_000;
const RECORDS = 300_000;

/** Devices come, change rooms and go, as on a busy node. */
function makeLog(): Uint8Array[] {
  const log: Uint8Array[] = [];
  for (let number = 1; number <= RECORDS; number++) {
    const turn = Math.floor((number - 1) / DEVICES);
    const i = (number - 1) % DEVICES;
    const device = `device_${i}`;
    const counter = Math.floor(turn / 3) * DEVICES + i + 1;
    const connectionId = `access_1-mabcdef.${counter}`;
    const about = { connectionId, app: "demo", device };
    const rooms = [`room_${i % 500}`];
    const event = [
      {
        case: "connected" as const,
        value: {
          connection: {
            id: connectionId,
            app: "demo",
            device,
            user: `user_${i % 20_000}`,
            openedAtMs: BigInt(1_800_000_000_000 + number),
            client: {
              platform: "android",
              appVersion: "7.1.0",
              sdk: "holdfast-js/1.0",
              network: "5g",
            },
            rooms,
            address: "192.0.2.17",
          },
        },
      },
      { case: "roomsChanged" as const, value: { ...about, rooms: [...rooms, "lobby"] } },
      { case: "disconnected" as const, value: { ...about, reason: "client-closed" } },
    ][turn % 3];
    if (event === undefined) break;
    const atMs = BigInt(1_800_000_000_000 + number);
    const place = { atMs, number: BigInt(number), stored: BigInt(number - 1) };
    const body = eventsOf("access_1-mabcdef", event);
    log.push(toBinary(RecordSchema, create(RecordSchema, { ...place, body })));
  }
  return log;
}

function run(log: Uint8Array[]): { seconds: number; routes: number; bytes: number } {
  const table = new RouteTable();
  const effects: Effect[] = [];
  let routes = 0;
  let bytes = 0;
  const start = performance.now();
  for (const [i, data] of log.entries()) {
    fold(table, i + 1, fromBinary(RecordSchema, data), effects);
    for (const effect of effects) {
      if (effect.kind !== "route") continue;
      routes += 1;
      bytes += encodeJson(effect.device.route).length;
    }
    effects.length = 0;
  }
  return { seconds: (performance.now() - start) / 1_000, routes, bytes };
}

const log = makeLog();
run(log.slice(0, 50_000));
const { seconds, routes, bytes } = run(log);
printSetting();
console.log(
  `${Math.round(log.length / seconds)} records/s folded, ${routes} routes of ${Math.round(bytes / routes)} bytes encoded`,
);
