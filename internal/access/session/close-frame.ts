import { create } from "@bufbuild/protobuf";
import { CloseSchema, ReconnectSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Random } from "../../clock/clock.ts";
import { CLOSE, type CloseReason } from "../../status/close.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";

/** Codes from here on tell the client to stay away. */
const STAY_AWAY = 4_200;

/**
 * Over how long the clients that leave for the same reason are spread, in milliseconds: as many as
 * a node holds must not come back in the same moment.
 */
const SPREAD_MS: Partial<Record<CloseReason, number>> = {
  "going-away": 5_000,
  isolated: 10_000,
  overloaded: 10_000,
  "rate-limited": 30_000,
};
const USUAL_SPREAD_MS = 1_000;

export interface Ending {
  code: number;
  /** For people. */
  text: string;
  frame: SharedFrame;
}

/**
 * The last frame of a connection. `detail` says which rule, which field; `afterMs` when to come back,
 * where that is not left to chance.
 */
export function ending(
  reason: CloseReason,
  about: { detail?: string | undefined; afterMs?: number; random: Random },
): Ending {
  const { code, text: rule } = CLOSE[reason];
  const { detail, random } = about;
  const text = detail === undefined ? rule : `${rule}: ${detail}`;
  const spreadMs = SPREAD_MS[reason] ?? USUAL_SPREAD_MS;
  const afterMs = about.afterMs ?? Math.floor(random() * spreadMs);
  const value = create(CloseSchema, {
    code,
    reason: text,
    ...(code < STAY_AWAY && { reconnect: create(ReconnectSchema, { afterMs }) }),
  });
  return { code, text, frame: SharedFrame.of({ case: "close", value }) };
}
