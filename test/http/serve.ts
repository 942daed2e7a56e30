/** A push service that sends to nobody, behind a real port, and what talks to it byte by byte. */
import { once } from "node:events";
import net from "node:net";
import type { Doorkeeper } from "../../internal/http/rpc.ts";
import {
  type HttpServer,
  type HttpServerOptions,
  startHttpServer,
} from "../../internal/http/server.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { eventually } from "../support/eventually.ts";
import { quietLogger } from "../support/logger.ts";

export const PUSH = "/holdfast.push.v1.PushService/PushToDevices";
export const STREAM = "/holdfast.push.v1.PushService/PushStream";
export const BODY = { app: "demo", devices: ["d1"], message: { business: "chat", text: "hi" } };
/** BODY in binary: app, devices, message. */
export const GOOD = Buffer.from("\n\x04demo\x12\x02d1\x1a\x0a\x12\x04chat\x22\x02hi", "latin1");
export const KEY = "right";

export function serve(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  return startHttpServer({
    listen: { host: "127.0.0.1", port: 0 },
    log: quietLogger,
    ready: () => true,
    routes: (router) => {
      router.service(PushService, {
        pushToDevices: ({ devices }) => ({
          messageId: "m1",
          results: devices.map((target) => ({ target })),
        }),
        pushStream: async (requests) => {
          let received = 0n;
          for await (const { push } of requests) {
            if (push.value?.app === "nobody") throw new HoldfastError("invalid", "app: unknown");
            received++;
          }
          return { received };
        },
      });
    },
    ...options,
  });
}

/** For servers that want a key. */
export const doorkeeper: Doorkeeper = ({ requestHeader }) => {
  if (requestHeader.get("authorization") !== `Bearer ${KEY}`) {
    throw new HoldfastError("unauthenticated", "wrong key");
  }
};

/** Flags, length, message: how gRPC, gRPC-Web and Connect streams send each. */
export function envelope(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A PushStreamRequest: a broadcast of an app, padded with an unknown field to about `size` bytes. */
export function item(app: string, size = 0): Buffer {
  const broadcast = Buffer.from(`\n${lengthOf(app)}${app}\x12\x06\x12\x04chat`, "latin1");
  const push = Buffer.concat([Buffer.of(0x2a, broadcast.length), broadcast]);
  if (size === 0) return push;
  const length = Buffer.of((size & 127) | 128, ((size >> 7) & 127) | 128, size >> 14);
  return Buffer.concat([push, Buffer.of(0x7a), length, Buffer.alloc(size)]);
}

const lengthOf = (text: string) => String.fromCharCode(text.length);

/** One HTTP/1.1 connection, kept open. */
export class Http1Connection implements Disposable {
  readonly socket: net.Socket;
  #received = "";
  closed = false;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (data) => {
      this.#received += data.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
    });
  }

  static async open(address: string): Promise<Http1Connection> {
    const socket = net.connect(Number(address.split(":").at(-1)), "127.0.0.1");
    await once(socket, "connect");
    return new Http1Connection(socket);
  }

  /** Writes as fast as the server reads. */
  async write(bytes: string | Uint8Array): Promise<void> {
    this.socket.write(bytes);
    await eventually("it is taken", () => this.socket.writableLength === 0 || this.closed, {
      everyMs: 2,
    });
  }

  /** The oldest answer that nobody has taken, or what was there when the connection ended. */
  answer(): Promise<string> {
    return eventually(
      "an answer",
      () => this.#takeComplete() ?? (this.closed ? this.#received : undefined),
      { everyMs: 2 },
    );
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #takeComplete(): string | undefined {
    const head = this.#received.indexOf("\r\n\r\n");
    if (head === -1) return undefined;
    const length = /^content-length: (\d+)\r$/im.exec(this.#received.slice(0, head + 2))?.[1];
    const chunked = this.#received.indexOf("0\r\n\r\n", head + 4);
    const end = length === undefined ? chunked + 5 : head + 4 + Number(length);
    if ((length === undefined && chunked === -1) || this.#received.length < end) return undefined;
    const answer = this.#received.slice(0, end);
    this.#received = this.#received.slice(end);
    return answer;
  }
}

export function postHead(path: string, type: string, ...headers: string[]): string {
  const all = [`POST ${path} HTTP/1.1`, "Host: x", `Content-Type: ${type}`, ...headers];
  return `${all.join("\r\n")}\r\n\r\n`;
}

export function chunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from("\r\n"),
  ]);
}
