/** Orders to a node, as the log hands them to it. */
import { create } from "@bufbuild/protobuf";
import { type Order, OrderSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";

export function drain(overMs: number): Order {
  return create(OrderSchema, { body: { case: "drain", value: { overMs } } });
}

export function undrain(): Order {
  return create(OrderSchema, { body: { case: "undrain", value: {} } });
}

export function kick(connection: bigint, code: number, reason = ""): Order {
  return create(OrderSchema, { body: { case: "kick", value: { connection, code, reason } } });
}

export function setRooms(
  connection: bigint,
  { join = [], leave = [] }: { join?: string[]; leave?: string[] },
): Order {
  return create(OrderSchema, { body: { case: "setRooms", value: { connection, join, leave } } });
}
