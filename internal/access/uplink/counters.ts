import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { UplinkOutcome } from "./outcome.ts";

/** What a node counts for one business. */
export interface BusinessCounters {
  /** Uplinks that came for it, however they ended. */
  uplinks: number;
  ok: number;
  busy: number;
  unavailable: number;
  timeout: number;
  tooLarge: number;
  refused: number;
  /** Answers of the business that could not be understood: garbage, redirects, other protocols. */
  badAnswers: number;
  /** Replies that were longer than allowed. */
  repliesTooLarge: number;
  /** Uplinks sent again that were answered from memory. */
  repeated: number;
  /** Uplinks with the id of another that was under way. */
  duplicates: number;
  /** Of those that were busy: because the connection sent too fast. */
  tooFast: number;
}

export interface BusinessStatistics {
  readonly app: string;
  readonly business: string;
  /** Uplinks without an answer. */
  readonly underWay: number;
  readonly counters: Readonly<BusinessCounters>;
}

export function newBusinessCounters(): BusinessCounters {
  return {
    uplinks: 0,
    ok: 0,
    busy: 0,
    unavailable: 0,
    timeout: 0,
    tooLarge: 0,
    refused: 0,
    badAnswers: 0,
    repliesTooLarge: 0,
    repeated: 0,
    duplicates: 0,
    tooFast: 0,
  };
}

export function count(counters: BusinessCounters, { status }: UplinkOutcome): void {
  switch (status) {
    case UplinkStatus.OK:
      counters.ok += 1;
      break;
    case UplinkStatus.BUSY:
      counters.busy += 1;
      break;
    case UplinkStatus.UNAVAILABLE:
      counters.unavailable += 1;
      break;
    case UplinkStatus.TIMEOUT:
      counters.timeout += 1;
      break;
    case UplinkStatus.TOO_LARGE:
      counters.tooLarge += 1;
      break;
    case UplinkStatus.REFUSED:
      counters.refused += 1;
      break;
  }
}
