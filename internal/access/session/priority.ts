import { Message_Priority } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";

/** The order in which frames leave for a client that is behind: the lowest number first. */
export const Priority = { CONTROL: 0, HIGH: 1, NORMAL: 2, LOW: 3 } as const;
export type Priority = (typeof Priority)[keyof typeof Priority];

/** Of a holdfast.wire.v1.Message.Priority; numbers this build does not know count as normal. */
export function priorityOf(priority: number): Priority {
  switch (priority) {
    case Message_Priority.HIGH:
      return Priority.HIGH;
    case Message_Priority.LOW:
      return Priority.LOW;
    default:
      return Priority.NORMAL;
  }
}
