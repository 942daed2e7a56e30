/** Many devices in one process that acknowledge what they get, over TCP. */
import { connect, type Socket } from "node:net";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { build, type Histogram } from "hdr-histogram-js";
import { FrameReader, LENGTH_BYTES, MAGIC } from "../../../internal/wire/frame-reader.ts";
import {
  ClientFrameSchema,
  type Message,
  ServerFrameSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { answerParent } from "./child.ts";

export type MustArriveClients = {
  /** Logs devices in; resolves when all are welcomed. */
  open: { ask: { port: number; tokens: string[] }; answer: null };
  /** Resolves when so many messages have come since the last question. */
  receive: { ask: { count: number }; answer: { outOfOrder: number; p50Ms: number; p99Ms: number } };
  close: { ask: null; answer: null };
};

type BodyInit = NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>;

const OPENING = 100;
const MICROSECONDS = 1_000;

const sockets: Socket[] = [];
let received = 0;
let outOfOrder = 0;
/** From the call to the client, in microseconds, of messages that say when they were sent. */
let latency: Histogram = build();
let wanted = Number.POSITIVE_INFINITY;
let enough = () => {};

/** One device: the number in each message's text grows, so that order shows. */
class Device {
  readonly #socket: Socket;
  readonly #reader = new FrameReader(1024 * 1024);
  readonly #welcomed: () => void;
  #last = 0n;

  constructor(socket: Socket, welcomed: () => void) {
    this.#socket = socket;
    this.#welcomed = welcomed;
    this.#reader.feed(MAGIC);
    this.#reader.next();
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  send(body: BodyInit): void {
    const frame = toBinary(ClientFrameSchema, create(ClientFrameSchema, { body }));
    const head = Buffer.alloc(LENGTH_BYTES);
    head.writeUInt32BE(frame.length);
    this.#socket.write(Buffer.concat([head, frame]));
  }

  #read(chunk: Buffer): void {
    this.#reader.feed(chunk);
    const before = this.#last;
    for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
      const { body } = fromBinary(ServerFrameSchema, frame);
      if (body.case === "welcome") this.#welcomed();
      else if (body.case === "push" && body.value.message) this.#take(body.value.message);
    }
    if (this.#last > before) this.send({ case: "ack", value: { deliverySequence: this.#last } });
  }

  #take({ deliverySequence, payload }: Message): void {
    if (deliverySequence <= this.#last) {
      outOfOrder += 1;
      return;
    }
    this.#last = deliverySequence;
    const sentAt = Number(payload.value);
    if (sentAt > 0) latency.recordValue(Math.max(1, (unixMs() - sentAt) * MICROSECONDS));
    received += 1;
    if (received >= wanted) enough();
  }
}

function unixMs(): number {
  return performance.timeOrigin + performance.now();
}

function open(port: number, token: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port }, () => {
      socket.write(MAGIC);
      new Device(socket, resolve).send({ case: "login", value: { token } });
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed before it was welcomed")));
    sockets.push(socket);
  });
}

answerParent<MustArriveClients>({
  async open({ port, tokens }) {
    let next = 0;
    const lane = async () => {
      for (let token = tokens[next++]; token !== undefined; token = tokens[next++]) {
        await open(port, token);
      }
    };
    await Promise.all(Array.from({ length: OPENING }, lane));
    return null;
  },
  async receive({ count }) {
    await new Promise<void>((resolve) => {
      wanted = count;
      enough = resolve;
      if (received >= wanted) resolve();
    });
    const answer = {
      outOfOrder,
      p50Ms: latency.getValueAtPercentile(50) / MICROSECONDS,
      p99Ms: latency.getValueAtPercentile(99) / MICROSECONDS,
    };
    received -= count;
    outOfOrder = 0;
    latency = build();
    wanted = Number.POSITIVE_INFINITY;
    return answer;
  },
  async close() {
    for (const socket of sockets.splice(0)) socket.destroy();
    return null;
  },
});
