import type { HandleUplinkResponse } from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type Payload, payloadLength } from "../../wire/payload.ts";

/** What became of an uplink. */
export interface UplinkOutcome {
  status: UplinkStatus;
  /** When it may be tried again; 0 where trying again is no use, or nobody can say. */
  retryAfterMs: number;
  /** The business's answer, for a client that wants one. */
  payload: Payload;
}

const NO_PAYLOAD: Payload = { case: undefined };

/** Without a payload. */
export function outcome(status: UplinkStatus, retryAfterMs = 0): UplinkOutcome {
  return { status, retryAfterMs, payload: NO_PAYLOAD };
}

export function refusal(why: string): UplinkOutcome {
  return {
    status: UplinkStatus.REFUSED,
    retryAfterMs: 0,
    payload: { case: "text", value: why },
  };
}

/** What the answer of a business says to the client. */
export function outcomeOf(response: HandleUplinkResponse, maxReplyBytes: number): UplinkOutcome {
  const { refused, payload } = response;
  if (refused !== "") return refusal(refused);
  if (payloadLength(payload) > maxReplyBytes) return outcome(UplinkStatus.TOO_LARGE);
  return { status: UplinkStatus.OK, retryAfterMs: 0, payload };
}
