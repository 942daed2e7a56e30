/** Thousands of clients in one process, on bare sockets: they cost little and only count. */
import { connect, type Socket } from "node:net";
import { tokenOf } from "../../access/fakes.ts";
import { answerParent } from "./child.ts";
import { clientFrame, UPGRADE } from "./websocket-frames.ts";

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
      /** One for each device; without them, such as the faked verifier takes. */
      tokens?: string[];
    };
    answer: null;
  };
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

const WELCOME = 0x0a;
const JOINED = 0x3a;

async function openLoggedIn(port: number, token: string, room: string | null): Promise<Socket> {
  const socket = await openBare(port);
  socket.write(UPGRADE);
  await until(socket, (bytes) => bytes.includes("\r\n\r\n"));
  const client = { platform: "web", appVersion: "1.0.0", sdk: "bench/1", network: "wifi" };
  socket.write(clientFrame({ case: "login", value: { token, client } }));
  await until(socket, (bytes) => bytes[2] === WELCOME);
  if (room !== null) {
    socket.write(clientFrame({ case: "join", value: { room } }));
    await until(socket, (bytes) => bytes[2] === JOINED);
  }
  return socket;
}

/** Waits for the one frame (or HTTP head) that comes next. */
function until(socket: Socket, right: (bytes: Buffer) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("data", (bytes: Buffer) => {
      if (right(bytes)) resolve();
      else reject(new Error(`unexpected: ${bytes.toString("latin1")}`));
    });
    socket.once("close", () => reject(new Error("closed")));
  });
}

answerParent<Swarm>({
  async openBare({ port, count: total }) {
    await openAll(total, () => openBare(port));
    return null;
  },
  async openLoggedIn({ port, count: total, firstDevice, room, tokens }) {
    const tokenFor = (index: number) => {
      const device = `device-${firstDevice + index}`;
      return tokens?.[index] ?? tokenOf({ device, user: `user of ${device}` });
    };
    await openAll(total, (index) => openLoggedIn(port, tokenFor(index), room));
    return null;
  },
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
