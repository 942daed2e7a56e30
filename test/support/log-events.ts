import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EventSchema, RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";

export type RecordBody = MessageInitShape<typeof RecordSchema>["body"] & object;
export type EventBody = MessageInitShape<typeof EventSchema>["body"] & object;

/** The body of a record in which an incarnation says what happened to its connections. */
export function eventsOf(incarnation: string, ...bodies: EventBody[]): RecordBody {
  return { case: "events", value: { incarnation, events: bodies.map((body) => ({ body })) } };
}
