import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  Delivery,
  Priority,
  PushService,
  type Result,
  StatusSchema,
} from "../proto/gen/holdfast/push/v1/push_pb.ts";

export interface PushMessage {
  /** Text or bytes, or neither. */
  text?: string;
  data?: Uint8Array;
  metadata?: Record<string, string>;
  /** Pushing the same id again is no second message. Unset: generated. */
  id?: string;
}

export interface PushOptions {
  priority?: "normal" | "high" | "low";
  /** Kept and sent again until the device has acknowledged it, or this many seconds are over. */
  mustArriveSeconds?: number;
}

export interface PushResult {
  target: string;
  /** "SENT", "ACCEPTED", "OFFLINE", "UNKNOWN", "DUPLICATE" or "REFUSED". */
  status: string;
  /** Why it was refused. */
  reason: string;
}

const PRIORITIES = { normal: Priority.NORMAL, high: Priority.HIGH, low: Priority.LOW };

/** Pushes messages of one business. Every method rejects with a ConnectError. */
export class Pusher {
  readonly #client: Client<typeof PushService>;
  readonly #app: string;
  readonly #business: string;

  constructor(transport: Transport, app: string, business: string) {
    this.#client = createClient(PushService, transport);
    this.#app = app;
    this.#business = business;
  }

  async toDevices(devices: string[], message: PushMessage, options?: PushOptions) {
    const request = { ...this.#request(message, options), devices };
    return resultsOf(await this.#client.pushToDevices(request));
  }

  async toUsers(users: string[], message: PushMessage, options?: PushOptions) {
    const request = { ...this.#request(message, options), users };
    return resultsOf(await this.#client.pushToUsers(request));
  }

  async toRooms(rooms: string[], message: PushMessage, options?: PushOptions) {
    const request = { ...this.#request(message, options), rooms };
    return resultsOf(await this.#client.pushToRooms(request));
  }

  async toZones(zones: string[], message: PushMessage, options?: PushOptions) {
    const request = { ...this.#request(message, options), zones };
    return resultsOf(await this.#client.pushToZones(request));
  }

  async toEveryone(message: PushMessage, options?: PushOptions) {
    return resultsOf(await this.#client.broadcast(this.#request(message, options)));
  }

  #request(message: PushMessage, options: PushOptions = {}) {
    const { text, data, metadata = {}, id = "" } = message;
    const { priority = "normal", mustArriveSeconds } = options;
    const mustArrive = mustArriveSeconds !== undefined;
    return {
      app: this.#app,
      message: {
        messageId: id,
        business: this.#business,
        payload: payloadInit(text, data),
        metadata,
      },
      options: {
        priority: PRIORITIES[priority],
        delivery: mustArrive ? Delivery.MUST_ARRIVE : Delivery.BEST_EFFORT,
        ...(mustArrive && { ttlSeconds: mustArriveSeconds }),
      },
    };
  }
}

/** A payload of the protocol. */
export function payloadInit(text: string | undefined, data: Uint8Array | undefined) {
  if (text !== undefined) return { case: "text", value: text } as const;
  return data === undefined
    ? ({ case: undefined } as const)
    : ({ case: "data", value: data } as const);
}

function resultsOf({ results }: { results: Result[] }): PushResult[] {
  return results.map(({ target, status, reason }) => ({
    target,
    status: StatusSchema.value[status]?.name ?? String(status),
    reason,
  }));
}
