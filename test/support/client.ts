/**
 * A client that speaks the protocol and nothing more: no heartbeat, no reconnect. Every frame is
 * queued, so none is missed between two awaits.
 *
 *     await using client = await connectClient({ url, encoding: "json" });
 *     client.send({ login: { token } });
 *     const welcome = await client.next("welcome");
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  create,
  fromBinary,
  fromJsonString,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import type { ServerBody } from "../../internal/wire/codec.ts";
import { ClientFrameSchema, ServerFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { patient } from "./patience.ts";

type BodyInit = NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>;
type CaseInit = Extract<BodyInit, { value: unknown }>;
/** One frame by the name of its body: `{ ping: { foreground: true } }`. */
export type ClientFrameInit = {
  [C in NonNullable<CaseInit["case"]>]?: Extract<CaseInit, { case: C }>["value"];
};
type ServerCase = ServerBody["case"];
type ServerValue<C extends ServerCase> = Extract<ServerBody, { case: C }>["value"];

export interface ClientOptions {
  /** ws://, wss://, tcp:// or tls://. */
  url: string;
  /** Over WebSocket only; TCP is always proto. Default: no subprotocol is named, so JSON. */
  encoding?: "proto" | "json";
  origin?: string;
}

export interface End {
  /** The WebSocket close code; undefined on TCP. */
  code: number | undefined;
}

const WITHIN_MS = 10_000;

export async function connectClient(options: ClientOptions): Promise<TestClient> {
  const inbox = new Inbox();
  const link = /^wss?:/.test(options.url)
    ? await webSocketLink(options, inbox)
    : await tcpLink(options.url, inbox);
  return new TestClient(link, inbox);
}

/** What carries the frames: one for WebSocket, one for TCP. */
interface Link {
  encoding: "proto" | "json";
  /** Bytes that are one frame. */
  send(frame: Uint8Array | string): void;
  /** Stops reading from the socket. */
  pause(): void;
  resume(): void;
  close(): void;
  /** Cuts it without a word. */
  abort(): void;
}

/** What has come and nobody has asked for yet. Filled from before the connection is open. */
class Inbox {
  readonly queue: ServerBody[] = [];
  readonly ended = Promise.withResolvers<End>();
  end: End | undefined;
  #wake: (() => void)[] = [];

  receive(frame: Uint8Array | string): void {
    const { body } =
      typeof frame === "string"
        ? fromJsonString(ServerFrameSchema, frame)
        : fromBinary(ServerFrameSchema, frame);
    if (body.case === undefined) throw new Error("a server frame without a body");
    this.queue.push(body);
    this.#wakeAll();
  }

  finish(end: End): void {
    this.end = end;
    this.ended.resolve(end);
    this.#wakeAll();
  }

  /** Resolves to true when something comes, to false when nothing came in time. */
  news(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, withinMs));
      this.#wake.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #wakeAll(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const go of wake) go();
  }
}

export class TestClient implements AsyncDisposable {
  readonly #link: Link;
  readonly #inbox: Inbox;

  constructor(link: Link, inbox: Inbox) {
    this.#link = link;
    this.#inbox = inbox;
  }

  /** Frames nobody has asked for yet, oldest first. */
  get queue(): ServerBody[] {
    return this.#inbox.queue;
  }

  /** Resolves when the connection is over. */
  get ended(): Promise<End> {
    return this.#inbox.ended.promise;
  }

  send(frame: ClientFrameInit): void {
    const [entry] = Object.entries(frame);
    if (entry === undefined) throw new Error("name the frame: { ping: {} }");
    const body = { case: entry[0], value: entry[1] } as BodyInit;
    const message = create(ClientFrameSchema, { body });
    this.sendRaw(
      this.#link.encoding === "json"
        ? toJsonString(ClientFrameSchema, message)
        : toBinary(ClientFrameSchema, message),
    );
  }

  /** Bytes or text as one frame, whatever they are. */
  sendRaw(frame: Uint8Array | string): void {
    this.#link.send(frame);
  }

  /** The oldest queued frame of this kind, or the next to come. Frames of other kinds stay queued. `withinMs`: see patience.ts. */
  async next<C extends ServerCase>(kind: C, withinMs = WITHIN_MS): Promise<ServerValue<C>> {
    const patienceMs = patient(withinMs);
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const at = this.queue.findIndex((body) => body.case === kind);
      const [body] = at === -1 ? [] : this.queue.splice(at, 1);
      if (body !== undefined) return body.value as ServerValue<C>;
      if (this.#inbox.end !== undefined) {
        throw new Error(`the connection ended before a ${kind}; queued: ${this.#queued()}`);
      }
      if (!(await this.#inbox.news(deadline - Date.now()))) {
        throw new Error(`no ${kind} within ${patienceMs} ms; queued: ${this.#queued()}`);
      }
    }
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }

  abort(): void {
    this.#link.abort();
  }

  async close(): Promise<void> {
    if (this.#inbox.end === undefined) this.#link.close();
    await this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #queued(): string {
    return this.queue.map((body) => JSON.stringify(body, bigints)).join(" ") || "nothing";
  }
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** Rejects with the HTTP status where the upgrade is refused. */
async function webSocketLink(
  { url, encoding, origin }: ClientOptions,
  inbox: Inbox,
): Promise<Link> {
  const socket = new WebSocket(url, encoding === undefined ? [] : [`holdfast.v1.${encoding}`], {
    rejectUnauthorized: false,
    perMessageDeflate: false,
    ...(origin !== undefined && { origin }),
  });
  const link: Link = {
    encoding: encoding ?? "json",
    send: (frame) => socket.send(frame),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => socket.close(1000),
    abort: () => socket.terminate(),
  };
  socket.on("message", (data: Buffer, isBinary) =>
    inbox.receive(isBinary ? data : data.toString()),
  );
  await new Promise<void>((resolve, reject) => {
    socket.on("open", resolve);
    socket.on("error", reject);
  });
  socket.on("error", () => {});
  socket.on("close", (code) => inbox.finish({ code }));
  return link;
}

async function tcpLink(url: string, inbox: Inbox): Promise<Link> {
  const { hostname: host, port, protocol } = new URL(url);
  const socket: Socket =
    protocol === "tls:"
      ? connectTls({ host, port: Number(port), rejectUnauthorized: false })
      : connectTcp({ host, port: Number(port) });
  await new Promise<void>((resolve, reject) => {
    socket.once(protocol === "tls:" ? "secureConnect" : "connect", resolve);
    socket.once("error", reject);
  });
  socket.write("HFD1");
  const link: Link = {
    encoding: "proto",
    send(frame) {
      const body = Buffer.from(frame);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(body.length);
      socket.write(Buffer.concat([length, body]));
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => socket.end(),
    abort: () => (protocol === "tls:" ? socket.destroy() : socket.resetAndDestroy()),
  };
  let held = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
      const end = 4 + held.readUInt32BE(0);
      inbox.receive(held.subarray(4, end));
      held = held.subarray(end);
    }
  });
  socket.on("error", () => {});
  socket.on("close", () => inbox.finish({ code: undefined }));
  return link;
}
