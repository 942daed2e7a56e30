/** A device as an app has it: the SDK admits it, keeps its connection and knows what it has handled. */
import { WebSocket } from "ws";
import { connect, type DeliveryStore, type HoldfastClient, type Message } from "../../sdk/index.ts";
import type { LinkReceiver, Transport } from "../../sdk/transport.ts";
import type { Device, DeviceOptions, Leaving } from "./device.ts";

export interface SdkDeviceOptions extends DeviceOptions {
  controlUrl: string;
}

export class SdkDevice implements Device {
  readonly name: string;
  readonly #options: SdkDeviceOptions;
  readonly #deliveries = memoryStore();
  readonly #sockets = new Set<WebSocket>();
  #client: HoldfastClient | undefined;
  /** Empty unless logged in. */
  #connection = "";
  /** The SDK drops repeats by itself. */
  readonly repeats = 0;
  refusals = 0;

  constructor(options: SdkDeviceOptions) {
    this.#options = options;
    this.name = options.device;
  }

  get online(): boolean {
    return this.#connection !== "";
  }

  come(): void {
    if (this.#client !== undefined) return;
    const { controlUrl, device } = this.#options;
    const client = connect({
      admit: controlUrl,
      app: "demo",
      device,
      deliveries: this.#deliveries,
      transports: [this.#transport()],
    });
    this.#client = client;
    client.on("message", (message) => this.#received(message));
    client.on("frame", ({ direction, body }) => {
      // Also when the node gives the connection a new id, which is no change of the status.
      if (direction === "in" && body.case === "welcome") {
        const { connectionId } = body.value;
        queueMicrotask(() => client === this.#client && this.#welcomed(connectionId));
      }
    });
    client.on("status", ({ state }) => {
      if (client !== this.#client || state === "online" || state === "connecting") return;
      if (this.online) this.#over();
      else this.refusals += 1;
    });
    client.on("error", () => {});
  }

  leave(how: Leaving): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#over();
    this.#client = undefined;
    if (how !== "logout") for (const socket of this.#sockets) socket.terminate();
    void client.close();
  }

  tick(): void {}

  #welcomed(connectionId: string): void {
    const first = !this.online;
    this.#connection = connectionId;
    this.#options.history.append({ did: "online", device: this.name, connection: connectionId });
    if (first) this.#options.cameOnline(this);
  }

  #over(): void {
    if (!this.online) return;
    const connection = this.#connection;
    this.#connection = "";
    this.#options.history.append({ did: "offline", device: this.name, connection });
  }

  #received({ id, text = "", deliverySequence }: Message): void {
    if (deliverySequence === 0n) return;
    this.#options.history.append({
      did: "received",
      device: this.name,
      message: id,
      meantFor: text,
      sequence: Number(deliverySequence),
    });
  }

  /** The SDK's own, but for sockets that can be cut. */
  #transport(): Transport {
    return {
      accepts: (url) => /^wss?:/.test(url),
      open: (url, subprotocol, receiver) => {
        const socket = new WebSocket(url, subprotocol, { perMessageDeflate: false });
        this.#sockets.add(socket);
        socket.on("close", () => this.#sockets.delete(socket));
        return linkOf(socket, receiver);
      },
    };
  }
}

function linkOf(socket: WebSocket, receiver: LinkReceiver) {
  socket.on("open", () => receiver.opened());
  socket.on("message", (data: Buffer) => receiver.frame(data));
  socket.on("error", () => {});
  socket.on("close", (code, reason) => receiver.closed(code, reason.toString()));
  return {
    send: (data: Uint8Array | string) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(data);
    },
    close: () => socket.close(1000),
  };
}

function memoryStore(): DeliveryStore {
  let saved: bigint | undefined;
  return {
    load: async () => saved,
    save: async (sequence) => {
      saved = sequence;
    },
  };
}
