/**
 * One device of a client process: it keeps the protocol's promises (one login a connection, acknowledges
 * what it handled, drops what it has handled before) and otherwise behaves as badly as phones do.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import {
  ClientFrameSchema,
  type Message,
  ServerFrameSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { pick } from "../support/seeded-random.ts";
import type { Device, DeviceOptions, Leaving } from "./device.ts";

const OPEN_WITHIN_MS = 4_000;
const WELCOME_WITHIN_MS = 8_000;
const PING_EVERY_MS = 4_000;
/** Silence that makes a client give up a connection. Some nodes are held for longer than this. */
const GIVE_UP_AFTER_MS = 8_000;
const FIRST_BACKOFF_MS = 200;
const LONGEST_BACKOFF_MS = 3_000;

export interface BareDeviceOptions extends DeviceOptions {
  token: string;
  /** The access nodes' WebSocket addresses. */
  urls: readonly string[];
  /** The share of deliveries that it acknowledges without giving them to the application: 0 but for sabotage. */
  forgets: number;
}

export class BareDevice implements Device {
  readonly name: string;
  readonly #options: BareDeviceOptions;
  #socket: WebSocket | undefined;
  /** Empty unless logged in. */
  #connection = "";
  #wanted = false;
  #backoffMs = FIRST_BACKOFF_MS;
  #retry: NodeJS.Timeout | undefined;
  #heardAt = 0;
  #pingedAt = 0;
  #handled = 0n;
  #ackPlanned = false;
  repeats = 0;
  refusals = 0;

  constructor(options: BareDeviceOptions) {
    this.#options = options;
    this.name = options.device;
  }

  get online(): boolean {
    return this.#connection !== "";
  }

  /** Connects, and reconnects until told to leave. */
  come(): void {
    this.#wanted = true;
    if (this.#socket === undefined && this.#retry === undefined) this.#open();
  }

  leave(how: Leaving): void {
    this.#wanted = false;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const socket = this.#socket;
    if (socket === undefined) return;
    if (how === "logout" && this.online) this.#send({ case: "logout", value: {} });
    // What a client was told before it closes still counts; after a cut nothing is read any more.
    if (how === "cut") this.#drop(socket);
    else {
      this.#over();
      socket.close(1000);
    }
  }

  /** Called every second or so. */
  tick(now: number): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (now - this.#heardAt > (this.online ? GIVE_UP_AFTER_MS : WELCOME_WITHIN_MS)) {
      this.#drop(socket);
    } else if (this.online && now - this.#pingedAt > PING_EVERY_MS) {
      this.#pingedAt = now;
      this.#send({ case: "ping", value: { foreground: true } });
    }
  }

  #open(): void {
    const { urls, random, token } = this.#options;
    const socket = new WebSocket(pick(random, urls), ["holdfast.v1.proto"], {
      perMessageDeflate: false,
      handshakeTimeout: OPEN_WITHIN_MS,
    });
    this.#socket = socket;
    this.#heardAt = performance.now();
    socket.on("open", () => {
      this.#send({
        case: "login",
        value: { token, client: { platform: "chaos" }, lastDeliverySequence: this.#handled },
      });
    });
    socket.on("message", (data: Buffer) => {
      if (socket === this.#socket) this.#receive(data);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (socket === this.#socket) this.#over();
    });
  }

  #receive(data: Buffer): void {
    this.#heardAt = performance.now();
    const { body } = fromBinary(ServerFrameSchema, data);
    if (body.case === "welcome") this.#welcomed(body.value.connectionId);
    else if (body.case === "push" && body.value.message) this.#deliver(body.value.message);
  }

  /** Also called when the node gives the connection a new id. */
  #welcomed(connection: string): void {
    const first = !this.online;
    this.#connection = connection;
    this.#backoffMs = FIRST_BACKOFF_MS;
    this.#write("online");
    if (first) this.#options.cameOnline(this);
  }

  #deliver(message: Message): void {
    const { deliverySequence } = message;
    if (deliverySequence === 0n) return;
    if (deliverySequence <= this.#handled) this.repeats++;
    else {
      this.#handled = deliverySequence;
      if (this.#options.random() >= this.#options.forgets) this.#handle(message);
    }
    this.#planAck();
  }

  #handle({ messageId, payload, deliverySequence }: Message): void {
    this.#options.history.append({
      did: "received",
      device: this.name,
      message: messageId,
      meantFor: payload.case === "text" ? payload.value : "",
      sequence: Number(deliverySequence),
    });
  }

  /** One acknowledgement for all that came in one go. */
  #planAck(): void {
    if (this.#ackPlanned) return;
    this.#ackPlanned = true;
    setImmediate(() => {
      this.#ackPlanned = false;
      if (this.online) this.#send({ case: "ack", value: { deliverySequence: this.#handled } });
    });
  }

  #send(body: NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>): void {
    const frame = create(ClientFrameSchema, { body });
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(toBinary(ClientFrameSchema, frame));
    }
  }

  #drop(socket: WebSocket): void {
    this.#over();
    socket.terminate();
  }

  #over(): void {
    this.#socket = undefined;
    if (this.online) this.#write("offline");
    else this.refusals++;
    this.#connection = "";
    if (!this.#wanted) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#open();
    }, this.#options.random() * this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, LONGEST_BACKOFF_MS);
  }

  #write(did: "online" | "offline"): void {
    this.#options.history.append({ did, device: this.name, connection: this.#connection });
  }
}
