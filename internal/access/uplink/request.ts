import { fromBinary } from "@bufbuild/protobuf";
import { HandleUplinkResponseSchema } from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import { rpcSubject } from "../../../streams/subjects.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { Caller, Taker } from "./guarded.ts";
import type { HandlerOptions } from "./handler.ts";
import { outcomeOf, type UplinkOutcome } from "./outcome.ts";
import type { RequestInbox } from "./request-inbox.ts";

/** A NATS request, which one of the business's instances answers. */
export class RequestCaller implements Caller {
  readonly #inbox: RequestInbox;
  readonly #subject: string;
  readonly #maxReplyBytes: number;

  constructor({ app, business, settings, means }: HandlerOptions) {
    this.#inbox = means.inbox;
    this.#subject = rpcSubject(app, business);
    this.#maxReplyBytes = settings.maxReplyBytes;
  }

  async call(request: Uint8Array, timeoutMs: number, taker: Taker): Promise<UplinkOutcome> {
    const answer = await this.#inbox.ask(this.#subject, request, timeoutMs, taker);
    return outcomeOf(decode(answer), this.#maxReplyBytes);
  }

  close(): void {}
}

function decode(answer: Uint8Array) {
  try {
    return fromBinary(HandleUplinkResponseSchema, answer);
  } catch (cause) {
    throw new HoldfastError("invalid", `its answer is no HandleUplinkResponse: ${cause}`, {
      cause,
    });
  }
}
