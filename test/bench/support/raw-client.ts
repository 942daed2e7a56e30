/** A client on a bare socket: WebSocket and the protocol by hand, so that it costs next to nothing. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { ClientFrameSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const UPGRADE =
  "GET /connect HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
  "Sec-WebSocket-Protocol: holdfast.v1.proto\r\n\r\n";

/** A short client frame: masked, with a mask of zeros. */
function masked(body: Parameters<typeof create<typeof ClientFrameSchema>>[1]): Buffer {
  const payload = toBinary(ClientFrameSchema, create(ClientFrameSchema, body));
  const { length } = payload;
  const header = length < 126 ? [0x82, 0x80 | length] : [0x82, 0xfe, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), Buffer.alloc(4), payload]);
}

const WELCOME = 0x0a;
const JOINED = 0x3a;

/** Logs in on a socket that is connecting, and joins the room if one is named. */
export async function loggedIn(
  socket: Socket,
  token: string,
  { room = null, encodings = [] }: { room?: string | null; encodings?: string[] },
): Promise<Socket> {
  await once(socket, "connect");
  socket.write(UPGRADE);
  await until(socket, (bytes) => bytes.includes("\r\n\r\n"));
  const client = { platform: "web", appVersion: "1.0.0", sdk: "bench/1", network: "wifi" };
  socket.write(masked({ body: { case: "login", value: { token, client, encodings } } }));
  await until(socket, (bytes) => bytes[2] === WELCOME);
  if (room !== null) {
    socket.write(masked({ body: { case: "join", value: { room } } }));
    await until(socket, (bytes) => bytes.includes(JOINED));
  }
  return socket;
}

/** Waits for the frame (or HTTP head) that is meant; others may come before it. */
function until(socket: Socket, right: (bytes: Buffer) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const heard = (bytes: Buffer) => {
      if (!right(bytes)) return;
      socket.off("data", heard);
      resolve();
    };
    socket.on("data", heard);
    socket.once("close", () => reject(new Error("closed")));
  });
}
