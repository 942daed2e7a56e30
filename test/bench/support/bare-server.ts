/** The measure of all fan-out: a `net` server that writes the same bytes to every socket. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { answerParent } from "./child.ts";
import { cpuMicros } from "./usage.ts";

export type BareServer = {
  listen: { ask: null; answer: { port: number } };
  cpu: { ask: null; answer: { micros: number } };
  publish: { ask: { bytes: number }; answer: null };
};

const sockets = new Set<Socket>();
const server = createServer({ noDelay: true }, (socket) => {
  sockets.add(socket);
  socket.on("error", () => {});
  socket.resume();
}).listen({ host: "127.0.0.1", port: 0, backlog: 4096 });
await once(server, "listening");

answerParent<BareServer>({
  listen() {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return { port: address.port };
  },
  cpu: () => ({ micros: cpuMicros() }),
  publish({ bytes }) {
    const message = Buffer.alloc(bytes, 120);
    for (const socket of sockets) socket.write(message);
    return null;
  },
});
