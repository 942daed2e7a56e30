import { type Channel, channelLiveSubject } from "../../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../../bus/contract.ts";
import { decodeServerFrame } from "../../wire/codec.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import { type Priority, priorityOf } from "../session/priority.ts";

/** The header in which the server tells the stream sequence of what it republishes. */
const SEQUENCE_HEADER = "Nats-Sequence";

/** A message of a channel, ready for any number of sockets. */
export interface ChannelMessage {
  position: number;
  frame: SharedFrame;
  priority: Priority;
}

/**
 * Hears what is sent to a channel. `receive` gets what can be decoded; `undecodable` is told of the
 * rest, which only a publisher that does not speak the protocol can cause.
 */
export function subscribeChannel(
  messages: Messages,
  channel: Channel,
  receive: (message: ChannelMessage) => void,
  undecodable: (error: unknown) => void,
): Subscription {
  return messages.subscribe(channelLiveSubject(channel), (received: Received) => {
    try {
      const position = Number(received.header(SEQUENCE_HEADER) ?? 0);
      receive(channelMessage(channel, position, received.data));
    } catch (error) {
      undecodable(error);
    }
  });
}

/**
 * Stamps a published frame with what its publisher could not know: the position it was given, and
 * the room as its members call it.
 */
export function channelMessage(
  channel: Channel,
  position: number,
  data: Uint8Array,
): ChannelMessage {
  const frame = decodeServerFrame(data);
  const message = frame.body.case === "push" ? frame.body.value.message : undefined;
  if (message !== undefined) {
    message.position = BigInt(position);
    if (channel.kind === "room") message.room = channel.id;
  }
  return {
    position,
    frame: SharedFrame.fromMessage(frame),
    priority: priorityOf(message?.priority ?? 0),
  };
}
