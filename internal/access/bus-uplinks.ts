import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type HandleUplinkRequest,
  HandleUplinkRequestSchema,
  HandleUplinkResponseSchema,
} from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import { UplinkStatus } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { rpcSubject, uplinkSubject } from "../../streams/subjects.ts";
import type { Appender, Messages } from "../bus/contract.ts";
import { HoldfastError } from "../status/errors.ts";
import type { UplinkForwarder, UplinkOutcome } from "./uplinks.ts";

const REPLY_TIMEOUT_MS = 5_000;
const RETRY_AFTER_MS = 1_000;

/**
 * Uplinks over NATS: a business that is asked for a reply answers on its request subject; what
 * needs no reply goes into the uplink stream, and is acknowledged when it is stored there.
 */
export class BusUplinks implements UplinkForwarder {
  readonly #appender: Appender;
  readonly #messages: Messages;

  constructor(appender: Appender, messages: Messages) {
    this.#appender = appender;
    this.#messages = messages;
  }

  forward(
    request: HandleUplinkRequest,
    wantReply: boolean,
    done: (outcome: UplinkOutcome) => void,
  ): void {
    const payload = toBinary(HandleUplinkRequestSchema, request);
    const { app, business } = request;
    if (wantReply) {
      void this.#ask(rpcSubject(app, business), payload).then(done);
    } else if (this.#appender.ready) {
      const subject = uplinkSubject(app, business);
      this.#appender.append(subject, payload, () => done({ status: UplinkStatus.OK }));
    } else {
      done({ status: UplinkStatus.BUSY, retryAfterMs: RETRY_AFTER_MS });
    }
  }

  /** Never rejects. */
  async #ask(subject: string, payload: Uint8Array): Promise<UplinkOutcome> {
    try {
      const answer = await this.#messages.request(subject, payload, REPLY_TIMEOUT_MS);
      const response = fromBinary(HandleUplinkResponseSchema, answer);
      if (response.refused === "") return { status: UplinkStatus.OK, payload: response.payload };
      const why = { case: "text", value: response.refused } as const;
      return { status: UplinkStatus.REFUSED, payload: why };
    } catch (error) {
      return { status: statusOf(error) };
    }
  }
}

/** An answer that cannot be decoded counts as none: the business does not speak the protocol. */
function statusOf(error: unknown): UplinkStatus {
  const { code } = HoldfastError.from(error);
  return code === "timeout" ? UplinkStatus.TIMEOUT : UplinkStatus.UNAVAILABLE;
}
