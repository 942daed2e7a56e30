/** Members of many rooms in one process, who tell how long messages took that say when they were sent. */
import { connect, type Socket } from "node:net";
import { answerParent } from "./child.ts";
import { loggedIn } from "./raw-client.ts";

export type RoomClients = {
  open: {
    ask: { port: number; members: { token: string; room: string }[] };
    answer: null;
  };
  /** Sorted, in ms, since the last question. */
  latencies: { ask: null; answer: number[] };
};

/** What stands before the time in a message. */
export const TIME_MARK = "sent-at:";
const TIME_LENGTH = 13;
const OPENING = 100;

let latencies: number[] = [];

function heard(chunk: Buffer): void {
  const now = Date.now();
  for (let at = chunk.indexOf(TIME_MARK); at !== -1; at = chunk.indexOf(TIME_MARK, at + 1)) {
    const from = at + TIME_MARK.length;
    const sentAt = Number(chunk.toString("latin1", from, from + TIME_LENGTH));
    if (Number.isFinite(sentAt)) latencies.push(now - sentAt);
  }
}

answerParent<RoomClients>({
  async open({ port, members }) {
    const waiting = [...members];
    const lane = async () => {
      for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
        const { token, room } = one;
        const socket: Socket = await loggedIn(connect({ host: "127.0.0.1", port }), token, {
          room,
        });
        socket.on("data", heard);
      }
    };
    await Promise.all(Array.from({ length: OPENING }, lane));
    return null;
  },
  latencies() {
    const all = latencies.toSorted((a, b) => a - b);
    latencies = [];
    return all;
  },
});
