import { create } from "@bufbuild/protobuf";
import { type Record as LogRecord, RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { connectionHash, DigestSum } from "../../streams/digest.ts";
import { eventsOf, type RecordBody } from "../support/log-events.ts";
import { connection } from "./fold-support.ts";

const NODES = ["a", "b", "c"];
export const DEVICES = ["d1", "d2", "d3", "d4"];
export const ROOMS = ["lobby", "chess"];

interface Open {
  node: string;
  counter: number;
  device: string;
  rooms: string[];
  openedAtMs: number;
}

/** A log as well-behaved nodes write it, from a list of numbers that choose what happens. */
export function logOf(choices: number[]): LogRecord[] {
  const records: LogRecord[] = [];
  const open: Open[] = [];
  const numbers = new Map<string, number>();
  const dead = new Set<string>();
  let counter = 0;
  const write = (node: string, body: RecordBody) => {
    const number = (numbers.get(node) ?? 0) + 1;
    numbers.set(node, number);
    const atMs = BigInt(records.length);
    const stored = BigInt(number - 1);
    records.push(create(RecordSchema, { atMs, number: BigInt(number), stored, body }));
  };
  const close = (one: Open, reason: string) => {
    open.splice(open.indexOf(one), 1);
    const value = {
      connectionId: `${one.node}.${one.counter}`,
      app: "demo",
      device: one.device,
      reason,
    };
    write(one.node, eventsOf(one.node, { case: "disconnected", value }));
  };
  const asConnection = ({ node, counter, device, rooms, openedAtMs }: Open) =>
    connection({ id: `${node}.${counter}`, device, rooms: [...rooms], openedAtMs });

  for (const choice of choices) {
    const node = NODES[(choice >> 3) % NODES.length]!;
    const device = DEVICES[(choice >> 5) % DEVICES.length]!;
    const present = open.find((one) => one.device === device);
    if (dead.has(node)) continue;
    switch (choice % 8) {
      case 0:
      case 1:
      case 2: {
        counter += 1;
        const one = { node, counter, device, rooms: [], openedAtMs: records.length };
        open.push(one);
        const value = { connection: asConnection(one) };
        write(node, eventsOf(node, { case: "connected", value }));
        if (present !== undefined) close(present, "replaced");
        break;
      }
      case 3:
        if (present !== undefined) close(present, "client-closed");
        break;
      case 4:
        if (present === undefined) break;
        present.rooms = ROOMS.filter((_, i) => (choice >> (8 + i)) % 2 === 0);
        write(
          present.node,
          eventsOf(present.node, {
            case: "roomsChanged",
            value: {
              connectionId: `${present.node}.${present.counter}`,
              app: "demo",
              device,
              rooms: [...present.rooms],
            },
          }),
        );
        break;
      case 5: {
        const connections = open.filter((one) => one.node === node).map(asConnection);
        write(node, {
          case: "announced",
          value: { incarnation: node, connections, first: true, last: true },
        });
        break;
      }
      case 6: {
        const sum = new DigestSum();
        for (const one of open.filter((each) => each.node === node)) {
          sum.add(connectionHash(one.counter, "demo", one.device, one.rooms));
        }
        const hash = BigInt(sum.hash);
        write(node, { case: "digest", value: { incarnation: node, connections: sum.count, hash } });
        break;
      }
      case 7:
        if (choice % 5 !== 0) break;
        dead.add(node);
        for (const one of open.filter((each) => each.node === node))
          open.splice(open.indexOf(one), 1);
        write("", { case: "nodeDown", value: { incarnation: node } });
    }
  }
  return records;
}
