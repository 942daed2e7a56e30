/** A member of a room that speaks the protocol and nothing more, and keeps a position for each channel. */

import { brotliDecompressSync } from "node:zlib";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { WebSocket } from "ws";
import {
  type Batch,
  ClientFrameSchema,
  type Message,
  MessageSchema,
  ServerFrameSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { Account } from "./account.ts";
import type { RoomMember, RoomMemberOptions } from "./crowd.ts";

interface Place {
  position: bigint;
  epoch: bigint;
}

const RETRY_MS = 300;
const SILENT_MS = 6_000;

export class PlainMember implements RoomMember {
  readonly account: Account;
  readonly #options: RoomMemberOptions;
  /** By channel: "room", "zone" and "all". */
  readonly #places = new Map<string, Place>();
  #socket: WebSocket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #heardAt = 0;
  #connection = "";
  #joined = false;

  constructor(options: RoomMemberOptions) {
    this.#options = options;
    this.account = new Account(options.member);
    this.#open();
    setInterval(() => this.#tick(), 2_000);
  }

  get online(): boolean {
    return this.#joined;
  }

  cut(awayMs: number): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#over(awayMs);
    socket.terminate();
  }

  #open(): void {
    const { urls, token, room, random } = this.#options;
    const url = urls[Math.floor(random() * urls.length)] ?? "";
    const socket = new WebSocket(url, ["holdfast.v1.proto"], { handshakeTimeout: 4_000 });
    this.#socket = socket;
    this.#heardAt = performance.now();
    socket.on("open", () => {
      const { position = 0n, epoch = 0n } = this.#places.get("room") ?? {};
      const standings = ["zone", "all"].flatMap((channel) => {
        const place = this.#places.get(channel);
        return place === undefined ? [] : [{ zone: channel === "zone" ? "zone" : "", ...place }];
      });
      const resume = {
        connectionId: this.#connection,
        rooms: [{ room, position, epoch }],
        standings,
      };
      this.#send({ case: "login", value: { token, encodings: ["br"], resume } });
    });
    socket.on("message", (data: Buffer) => {
      if (socket === this.#socket) this.#receive(data);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (socket === this.#socket) this.#over(RETRY_MS * (0.5 + random()));
    });
  }

  #tick(): void {
    if (this.#socket === undefined) return;
    if (performance.now() - this.#heardAt > SILENT_MS) this.cut(RETRY_MS);
    else if (this.#joined) this.#send({ case: "ping", value: { foreground: true } });
  }

  #over(awayMs: number): void {
    this.#socket = undefined;
    this.#joined = false;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), awayMs);
  }

  #send(body: NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(toBinary(ClientFrameSchema, create(ClientFrameSchema, { body })));
  }

  #receive(data: Buffer): void {
    this.#heardAt = performance.now();
    const { body } = fromBinary(ServerFrameSchema, data);
    switch (body.case) {
      case "welcome":
        this.#connection = body.value.connectionId;
        break;
      case "joined":
        this.#stands("room", body.value);
        this.#joined = true;
        break;
      case "standing":
        this.#stands(body.value.zone === "" ? "all" : "zone", body.value);
        break;
      case "push":
        if (body.value.message !== undefined) this.#message(body.value.message);
        break;
      case "batch":
        for (const message of messagesOf(body.value)) this.#message(message);
        break;
    }
  }

  #stands(channel: string, told: Place & { recovered: boolean }): void {
    const { position, epoch, recovered } = told;
    const before = this.#places.get(channel);
    if (recovered && before !== undefined) return;
    if (before !== undefined) this.account.gap(channel);
    this.#places.set(channel, { position, epoch });
  }

  #message({ room, zone, position, payload }: Message): void {
    const place = this.#places.get(room !== "" ? "room" : zone !== "" ? "zone" : "all");
    if (place !== undefined) place.position = position;
    if (payload.case === "text") this.account.message(payload.value, position);
  }
}

function messagesOf({ data, encoding }: Batch): Message[] {
  const reader = new BinaryReader(encoding === "br" ? brotliDecompressSync(data) : data);
  const messages: Message[] = [];
  while (reader.pos < reader.len) messages.push(fromBinary(MessageSchema, reader.bytes()));
  return messages;
}
