import {
  type Error as ErrorFrame,
  type UplinkAck,
  type UplinkReply,
  UplinkStatus,
} from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { ClientBody } from "./encoding.ts";
import { HoldfastSdkError, type UplinkFailure } from "./error.ts";
import { checkId } from "./id.ts";
import type { Sent } from "./link-set.ts";
import { type Payload, payloadOf } from "./message.ts";
import type { Surroundings } from "./surroundings.ts";

/** What to send to a business server: text or bytes, and metadata beside it. */
export type Outgoing = ({ text: string; data?: never } | { data: Uint8Array; text?: never }) & {
  metadata?: Record<string, string>;
};

export interface UplinkOptions {
  /** How long to wait for the answer, across reconnects. Default 10 s. */
  timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;

interface Pending {
  readonly business: string;
  readonly outgoing: Outgoing;
  readonly wantReply: boolean;
  /** It may have reached the gateway, so the next time it is a retransmission. */
  sent: boolean;
  /** Of an acknowledgement; the reply after it says more. */
  failure: HoldfastSdkError | undefined;
  settle(result: Payload | HoldfastSdkError): void;
}

/**
 * Uplinks on their way, by request id. They outlive connections: after a reconnect everything not
 * answered is sent again under its id, marked as a retransmission, until its time is over.
 */
export class Requests {
  readonly #surroundings: Surroundings;
  readonly #send: (body: ClientBody) => Sent;
  readonly #pending = new Map<string, Pending>();
  /** Tells the requests of this run of the application from those of an earlier one. */
  readonly #prefix: string;
  #lastNumber = 0;
  #closed: HoldfastSdkError | undefined;

  constructor(surroundings: Surroundings, send: (body: ClientBody) => Sent) {
    this.#surroundings = surroundings;
    this.#send = send;
    this.#prefix = surroundings.random().toString(36).slice(2, 10);
  }

  /** Resolves with the reply, or at the acknowledgement when no reply is wanted. */
  request(
    business: string,
    outgoing: Outgoing,
    wantReply: boolean,
    { timeoutMs = DEFAULT_TIMEOUT_MS }: UplinkOptions = {},
  ): Promise<Payload> {
    return new Promise((resolve, reject) => {
      checkId("business", business);
      if (this.#closed !== undefined) throw this.#closed;
      this.#lastNumber += 1;
      const id = `${this.#prefix}-${this.#lastNumber}`;
      const cancel = this.#surroundings.after(timeoutMs, () => {
        const what = `no answer from business "${business}" within ${timeoutMs} ms`;
        const { failure } = this.#pending.get(id) ?? {};
        this.#settle(id, failure ?? new HoldfastSdkError("timeout", what));
      });
      const settle = (result: Payload | HoldfastSdkError) => {
        cancel();
        if (result instanceof HoldfastSdkError) reject(result);
        else resolve(result);
      };
      this.#pending.set(id, {
        business,
        outgoing,
        wantReply,
        sent: false,
        failure: undefined,
        settle,
      });
      this.#transmit(id);
    });
  }

  /** The connection is online: sends what waits, and again what was not answered. */
  online(): void {
    for (const id of this.#pending.keys()) this.#transmit(id);
  }

  acknowledged({ requestId, status, retryAfterMs }: UplinkAck): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    const { business, wantReply } = pending;
    if (status !== UplinkStatus.OK) {
      pending.failure = notTaken(status, business, { retryAfterMs });
      if (!wantReply) this.#settle(requestId, pending.failure);
    } else if (!wantReply) {
      this.#settle(requestId, { text: undefined, data: undefined });
    }
  }

  replied({ requestId, status, payload }: UplinkReply): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    if (status === UplinkStatus.OK) {
      this.#settle(requestId, payloadOf(payload));
      return;
    }
    const { text } = payloadOf(payload);
    const retryAfterMs = pending.failure?.retryAfterMs;
    this.#settle(requestId, notTaken(status, pending.business, { text, retryAfterMs }));
  }

  refused({ code, reason, requestId }: ErrorFrame): void {
    this.#settle(requestId, new HoldfastSdkError("refused", reason, { closeCode: code }));
  }

  /** Fails everything that waits, and everything to come. */
  close(cause: HoldfastSdkError): void {
    this.#closed = cause;
    for (const id of [...this.#pending.keys()]) this.#settle(id, cause);
  }

  #transmit(id: string): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    const { business, outgoing, wantReply, sent } = pending;
    const { text, data, metadata = {} } = outgoing;
    const outcome = this.#send({
      case: "uplink",
      value: {
        business,
        requestId: id,
        payload: text !== undefined ? { case: "text", value: text } : { case: "data", value: data },
        metadata,
        retransmit: sent,
        wantReply,
      },
    });
    if (outcome === "sent") pending.sent = true;
    if (outcome === "too-large") {
      const what = "the message is longer than the gateway takes";
      this.#settle(id, new HoldfastSdkError("invalid", what, { final: true }));
    }
  }

  #settle(id: string, result: Payload | HoldfastSdkError): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.settle(result);
  }
}

const FAILURES: Partial<Record<UplinkStatus, UplinkFailure>> = {
  [UplinkStatus.BUSY]: "BUSY",
  [UplinkStatus.UNKNOWN_BUSINESS]: "UNKNOWN_BUSINESS",
  [UplinkStatus.UNAVAILABLE]: "UNAVAILABLE",
  [UplinkStatus.TIMEOUT]: "TIMEOUT",
  [UplinkStatus.TOO_LARGE]: "TOO_LARGE",
  [UplinkStatus.REFUSED]: "REFUSED",
};

/** `text`: the business server's own words. */
function notTaken(
  code: UplinkStatus,
  business: string,
  { text, retryAfterMs }: { text?: string | undefined; retryAfterMs?: number | undefined },
): HoldfastSdkError {
  const status = FAILURES[code] ?? "UNSPECIFIED";
  const words = text === undefined ? "" : `: ${text}`;
  return new HoldfastSdkError("uplink", `business "${business}": ${status}${words}`, {
    status,
    ...(retryAfterMs ? { retryAfterMs } : {}),
  });
}
