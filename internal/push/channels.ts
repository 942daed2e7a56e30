import { Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { type Channel, channelInSubject } from "../../streams/subjects.ts";
import type { Appender } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { addressed, pushOfMessage } from "../wire/message-bytes.ts";
import { encodeMessage, type OutgoingMessage } from "./message.ts";
import type { Sending } from "./unicast.ts";

/** How long the room stream may take to store a message. */
const STORED_WITHIN_MS = 5_000;

export interface ChannelsOptions {
  /** To the room stream, which numbers the messages and hands them to the nodes. */
  appender: Appender;
  clock?: Clock;
}

/** Sends messages to rooms, zones and everybody: into the room stream, once for each channel. */
export class Channels {
  readonly #appender: Appender;
  readonly #clock: Clock;

  constructor(options: ChannelsOptions) {
    this.#appender = options.appender;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Results are in the order of the channels: SENT for what the stream has stored, REFUSED for what
   * it did not store in time, or had no room for. Such a message may still be stored later.
   */
  send(channels: readonly Channel[], message: OutgoingMessage): Sending<Status[]> {
    const statuses = new Array<Status>(channels.length).fill(Status.REFUSED);
    // Once for all of them; each is told its own name.
    const encoded = encodeMessage(message);
    const { promise: results, resolve } = Promise.withResolvers<Status[]>();
    let waiting = 1;
    const settled = () => {
      waiting--;
      if (waiting > 0) return;
      deadline.cancel();
      resolve(statuses);
    };
    const deadline = this.#clock.after(STORED_WITHIN_MS, () => resolve([...statuses]));
    for (const [i, channel] of channels.entries()) {
      if (!this.#appender.ready) break;
      const { kind } = channel;
      const frame = pushOfMessage(kind === "all" ? encoded : addressed(encoded, kind, channel.id));
      waiting++;
      this.#appender.append(channelInSubject(channel), frame, () => {
        statuses[i] = Status.SENT;
        settled();
      });
    }
    settled();
    return { results };
  }
}
