/** Clients that send uplinks at a rate of their own, whatever the answers, and time the answers. */
import { connect, type Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { build, type Histogram } from "hdr-histogram-js";
import {
  ClientFrameSchema,
  ServerFrameSchema,
  UplinkStatus,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { answerParent } from "./child.ts";

export type UplinkLoad = {
  open: { ask: { port: number; tokens: string[] }; answer: null };
  /** Sends for `seconds` at `rate` uplinks a second over all connections, then waits for answers. */
  send: {
    ask: { business: string; rate: number; seconds: number; wantReply: boolean };
    answer: {
      sent: number;
      /** Acknowledged with OK; with `wantReply`, answered so. */
      ok: number;
      other: number;
      /** From the first sending to the last answer. */
      seconds: number;
      p50Ms: number;
      p99Ms: number;
    };
  };
};

const TICK_MS = 5;
const PAYLOAD = new Uint8Array(100).fill(120);
const ID_DIGITS = 8;
/** What comes later than this after the last sending counts as lost. */
const PATIENCE_MS = 5_000;

interface Connection {
  socket: Socket;
  held: Buffer;
}

const connections: Connection[] = [];
let sentAt = new Float64Array(0);
let latency: Histogram = build();
let ok = 0;
let other = 0;
let wanted: "uplinkAck" | "uplinkReply" = "uplinkAck";

answerParent<UplinkLoad>({
  async open({ port, tokens }) {
    for (const token of tokens) connections.push(await login(port, token));
    return null;
  },
  async send({ business, rate, seconds, wantReply }) {
    const total = rate * seconds;
    sentAt = new Float64Array(total);
    latency = build();
    ok = 0;
    other = 0;
    wanted = wantReply ? "uplinkReply" : "uplinkAck";
    const template = uplinkFrame(business, wantReply);
    const began = performance.now();
    let sent = 0;
    await new Promise<void>((done) => {
      const timer = setInterval(() => {
        const due = Math.min(total, Math.floor(((performance.now() - began) / 1_000) * rate));
        for (; sent < due; sent += 1) sendOne(template, sent);
        if (sent < total) return;
        clearInterval(timer);
        done();
      }, TICK_MS);
    });
    const until = performance.now() + PATIENCE_MS;
    while (ok + other < total && performance.now() < until) {
      await new Promise((next) => setTimeout(next, 5));
    }
    const [p50Ms, p99Ms] = [50, 99].map((p) => latency.getValueAtPercentile(p) / 1_000);
    const took = (performance.now() - began) / 1_000;
    return { sent, ok, other, seconds: took, p50Ms: p50Ms ?? 0, p99Ms: p99Ms ?? 0 };
  },
});

async function login(port: number, token: string): Promise<Connection> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  const connection = { socket, held: Buffer.alloc(0) };
  const login = { case: "login" as const, value: { token } };
  const frame = toBinary(ClientFrameSchema, create(ClientFrameSchema, { body: login }));
  socket.write(Buffer.concat([Buffer.from("HFD1"), lengthOf(frame), frame]));
  await new Promise((welcome, fail) => {
    socket.once("data", welcome);
    socket.once("error", fail);
  });
  socket.on("data", (chunk: Buffer) => receive(connection, chunk));
  socket.on("close", () => {
    throw new Error("the gateway closed a connection");
  });
  return connection;
}

/** With the request id in known digits at `idAt`, so that a frame costs a copy and eight digits. */
function uplinkFrame(business: string, wantReply: boolean): { bytes: Buffer; idAt: number } {
  const requestId = "#".repeat(ID_DIGITS);
  const payload = { case: "data" as const, value: PAYLOAD };
  const body = { case: "uplink" as const, value: { business, requestId, payload, wantReply } };
  const frame = toBinary(ClientFrameSchema, create(ClientFrameSchema, { body }));
  const bytes = Buffer.concat([lengthOf(frame), frame]);
  return { bytes, idAt: bytes.indexOf(requestId) };
}

function sendOne({ bytes, idAt }: { bytes: Buffer; idAt: number }, number: number): void {
  const frame = Buffer.from(bytes);
  frame.write(String(number).padStart(ID_DIGITS, "0"), idAt, "latin1");
  sentAt[number] = performance.now();
  connections[number % connections.length]?.socket.write(frame);
}

function receive(connection: Connection, chunk: Buffer): void {
  let held = connection.held.length === 0 ? chunk : Buffer.concat([connection.held, chunk]);
  while (held.length >= 4) {
    const end = 4 + held.readUInt32BE(0);
    if (held.length < end) break;
    answered(held.subarray(4, end));
    held = held.subarray(end);
  }
  connection.held = held;
}

function answered(frame: Uint8Array): void {
  const { body } = fromBinary(ServerFrameSchema, frame);
  if (body.case !== wanted) return;
  const { requestId, status } = body.value;
  if (status === UplinkStatus.OK) ok += 1;
  else other += 1;
  const sent = sentAt[Number(requestId)] ?? 0;
  latency.recordValue(Math.max(1, Math.round((performance.now() - sent) * 1_000)));
}

function lengthOf(frame: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return length;
}
