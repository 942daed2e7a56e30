/** Thousands of clients in one process, on bare sockets: they cost little and only count. */
import { connect, type Socket } from "node:net";
import { tokenOf } from "../../access/fakes.ts";
import { answerParent } from "./child.ts";
import { loggedIn } from "./raw-client.ts";

export type Swarm = {
  /** Opens connections to a bare server. */
  openBare: { ask: { port: number; count: number }; answer: null };
  /** Opens WebSocket connections, logs each in as a device of its own, and joins a room if named. */
  openLoggedIn: {
    ask: {
      port: number;
      count: number;
      firstDevice: number;
      room: string | null;
      /** How they read batches; without, not at all. */
      encodings?: string[];
      /** One for each device; without them, such as the faked verifier takes. */
      tokens?: string[];
    };
    answer: null;
  };
  /** Bytes that have come and were not asked for. */
  received: { ask: null; answer: { bytes: number } };
  /** Resolves when this many bytes have come, over all sockets, since the last question. */
  receive: { ask: { bytes: number }; answer: null };
  close: { ask: null; answer: null };
};

/** At once in the opening; more would overrun the listen queue. */
const OPENING = 200;

const sockets: Socket[] = [];
let received = 0;
let wanted = Number.POSITIVE_INFINITY;
let enough = () => {};

function count(chunk: Buffer): void {
  received += chunk.length;
  if (received >= wanted) enough();
}

async function openAll(total: number, open: (index: number) => Promise<Socket>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < total) {
      const index = next;
      next += 1;
      const socket = await open(index);
      socket.on("data", count);
      sockets.push(socket);
    }
  };
  await Promise.all(Array.from({ length: Math.min(OPENING, total) }, lane));
  received = 0;
}

function openBare(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port }, () => resolve(socket));
    socket.on("error", reject);
  });
}

answerParent<Swarm>({
  async openBare({ port, count: total }) {
    await openAll(total, () => openBare(port));
    return null;
  },
  async openLoggedIn({ port, count: total, firstDevice, room, tokens, encodings = [] }) {
    const tokenFor = (index: number) => {
      const device = `device-${firstDevice + index}`;
      return tokens?.[index] ?? tokenOf({ device, user: `user of ${device}` });
    };
    await openAll(total, (index) => {
      const socket = connect({ host: "127.0.0.1", port });
      return loggedIn(socket, tokenFor(index), { room, encodings });
    });
    return null;
  },
  received: () => ({ bytes: received }),
  receive: ({ bytes }) =>
    new Promise((resolve) => {
      wanted = bytes;
      enough = () => {
        received -= bytes;
        wanted = Number.POSITIVE_INFINITY;
        resolve(null);
      };
      if (received >= wanted) enough();
    }),
  close() {
    for (const socket of sockets) socket.destroy();
    sockets.length = 0;
    return null;
  },
});
