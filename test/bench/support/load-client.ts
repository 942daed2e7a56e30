/**
 * One client of a load: a bare socket that speaks the binary protocol over WebSocket with hand-made frames,
 * because tens of thousands of them share a processor with the gateway that they load.
 */
import { connect, type Socket } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { ServerFrameSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { clientFrame, PONG, ServerFrames, UPGRADE } from "./websocket-frames.ts";

/** Why an attempt or a connection came to its end. */
export interface Ending {
  /** "connect" (no TCP), "http <status>", "close <code>", "cut", "timeout". */
  why: string;
  /** Whether it had been welcomed. */
  welcomed: boolean;
  /** The close code, 0 where none was told. */
  code: number;
  /** What it was told to wait before it comes back; undefined: nothing. */
  afterMs: number | undefined;
}

export interface LoadClientEvents {
  welcomed(client: LoadClient): void;
  /** Once an attempt has failed, or once a welcomed connection is over. */
  ended(client: LoadClient, ending: Ending): void;
}

export interface Attempt {
  port: number;
  /** Of 127.0.0.0/8, so that ports do not run out. */
  localAddress: string;
  /** Made by the control role's own issuer. */
  token: string;
  /** To be in after the login; "" for none. */
  room: string;
  /** An attempt that takes longer is given up. */
  timeoutMs: number;
}

type Phase = "new" | "opening" | "upgrading" | "logging-in" | "in";

/** First bytes of a server frame: the field that its body is. */
const WELCOME = 0x0a;
const PUSH = 0x1a;
const CLOSE = 0x52;

export class LoadClient {
  readonly index: number;
  readonly #events: LoadClientEvents;
  #phase: Phase = "new";
  #socket: Socket | undefined;
  #frames: ServerFrames | undefined;
  #giveUp: NodeJS.Timeout | undefined;
  /** Of the Close frame that came, if one came. */
  #told: Omit<Ending, "welcomed"> | undefined;
  #handled = 0n;
  /** Failed attempts since the last welcome. */
  failures = 0;

  constructor(index: number, events: LoadClientEvents) {
    this.index = index;
    this.#events = events;
  }

  attempt({ port, localAddress, token, room, timeoutMs }: Attempt): void {
    this.#phase = "opening";
    this.#told = undefined;
    const socket = connect({ host: "127.0.0.1", port, localAddress, noDelay: true });
    this.#socket = socket;
    this.#giveUp = setTimeout(() => this.#end("timeout"), timeoutMs);
    socket.on("error", () => {});
    socket.on("connect", () => {
      this.#phase = "upgrading";
      socket.write(UPGRADE);
    });
    socket.on("data", (bytes: Buffer) => {
      if (this.#phase === "upgrading") this.#upgraded(bytes, token, room);
      else this.#frames?.push(bytes);
    });
    socket.on("close", () => this.#end(this.#phase === "opening" ? "connect" : "cut"));
  }

  /** Without a word, as a phone does that loses its network. */
  vanish(): void {
    const socket = this.#socket;
    this.#forget();
    socket?.destroy();
  }

  #upgraded(bytes: Buffer, token: string, room: string): void {
    const head = bytes.toString("latin1");
    const status = head.slice(9, 12);
    if (status !== "101") {
      const seconds = /^retry-after: *([\d.]+)/im.exec(head)?.[1];
      const afterMs = seconds === undefined ? undefined : Number(seconds) * 1_000;
      this.#finish({ why: `http ${status}`, code: 0, afterMs });
      return;
    }
    this.#phase = "logging-in";
    this.#frames = new ServerFrames(
      (payload) => this.#receive(payload),
      () => this.#socket?.write(PONG),
    );
    const client = { platform: "web", appVersion: "1.0.0", sdk: "bench/1", network: "wifi" };
    const lastDeliverySequence = this.#handled;
    this.#send({ case: "login", value: { token, client, lastDeliverySequence } });
    if (room !== "") this.#send({ case: "join", value: { room } });
    const rest = bytes.subarray(head.indexOf("\r\n\r\n") + 4);
    if (rest.length > 0) this.#frames.push(rest);
  }

  #receive(payload: Buffer): void {
    const [kind] = payload;
    if (kind === WELCOME && this.#phase === "logging-in") this.#welcomed();
    else if (kind === CLOSE) this.#closing(payload);
    else if (kind === PUSH) this.#acknowledge(payload);
  }

  #welcomed(): void {
    clearTimeout(this.#giveUp);
    this.#phase = "in";
    this.failures = 0;
    this.#events.welcomed(this);
  }

  #closing(payload: Buffer): void {
    const { body } = fromBinary(ServerFrameSchema, payload);
    if (body.case !== "close") return;
    const { code, reconnect } = body.value;
    this.#told = { why: `close ${code}`, code, afterMs: reconnect?.afterMs };
    this.#socket?.end();
  }

  /** Must-arrive messages are handled at once, so a bench may send some. */
  #acknowledge(payload: Buffer): void {
    const { body } = fromBinary(ServerFrameSchema, payload);
    const sequence = body.case === "push" ? (body.value.message?.deliverySequence ?? 0n) : 0n;
    if (sequence <= this.#handled) return;
    this.#handled = sequence;
    this.#send({ case: "ack", value: { deliverySequence: sequence } });
  }

  #send(body: Parameters<typeof clientFrame>[0]): void {
    this.#socket?.write(clientFrame(body));
  }

  #end(why: string): void {
    this.#finish(this.#told ?? { why, code: 0, afterMs: undefined });
  }

  #finish(ending: Omit<Ending, "welcomed">): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    const welcomed = this.#phase === "in";
    this.#forget();
    socket.destroy();
    this.#events.ended(this, { ...ending, welcomed });
    this.failures += 1;
  }

  #forget(): void {
    clearTimeout(this.#giveUp);
    // What this socket still has to say is not about the next attempt.
    this.#socket?.removeAllListeners().on("error", () => {});
    this.#socket = undefined;
    this.#frames = undefined;
    this.#phase = "new";
  }
}
