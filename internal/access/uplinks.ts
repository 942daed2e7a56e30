/** From an Uplink frame to a business and back: the session's side of it. */
import { create } from "@bufbuild/protobuf";
import {
  type HandleUplinkRequest,
  HandleUplinkRequestSchema,
} from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import {
  type Uplink,
  UplinkAckSchema,
  type UplinkReply,
  UplinkReplySchema,
  UplinkStatus,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { connectionId } from "../../streams/connection-id.ts";
import type { Clock } from "../clock/clock.ts";
import { SharedFrame } from "../wire/shared-frame.ts";
import type { ConnectionLog } from "./connection-log.ts";
import type { SessionLimits } from "./limits.ts";
import type { AccessMetrics } from "./metrics.ts";
import type { Session } from "./session.ts";

/** What became of an uplink. */
export interface UplinkOutcome {
  status: UplinkStatus;
  /** With BUSY: when it may be tried again. */
  retryAfterMs?: number;
  /** The business's answer, where one was wanted. */
  payload?: UplinkReply["payload"];
}

/** Brings uplinks to businesses. How, is a matter of the business (see bus-uplinks.ts). */
export interface UplinkForwarder {
  /** `done` is called once, at once or later. Throws nothing. */
  forward(
    request: HandleUplinkRequest,
    wantReply: boolean,
    done: (outcome: UplinkOutcome) => void,
  ): void;
}

const RETRY_AFTER_MS = 1_000;

export interface UplinksOptions {
  forwarder: UplinkForwarder;
  clock: Clock;
  log: Pick<ConnectionLog, "incarnation">;
  limits: SessionLimits;
  metrics: AccessMetrics;
}

export class Uplinks {
  readonly #options: UplinksOptions;

  constructor(options: UplinksOptions) {
    this.#options = options;
  }

  /** Forwards an uplink of the session's, and answers it. */
  forward(session: Session, uplink: Uplink): void {
    const { forwarder, limits, metrics } = this.#options;
    metrics.uplinks += 1;
    if (session.uplinks >= limits.maxUplinks) {
      metrics.uplinksBusy += 1;
      answer(session, uplink, { status: UplinkStatus.BUSY, retryAfterMs: RETRY_AFTER_MS });
      return;
    }
    session.uplinks += 1;
    forwarder.forward(this.#request(session, uplink), uplink.wantReply, (outcome) => {
      session.uplinks -= 1;
      if (outcome.status === UplinkStatus.BUSY) metrics.uplinksBusy += 1;
      if (session.state !== "closed") answer(session, uplink, outcome);
    });
  }

  #request(session: Session, uplink: Uplink): HandleUplinkRequest {
    const { clock, log } = this.#options;
    return create(HandleUplinkRequestSchema, {
      app: session.app,
      business: uplink.business,
      device: session.device,
      user: session.user,
      connectionId: connectionId(log.incarnation, session.counter),
      node: log.incarnation,
      ...(session.client !== undefined && { client: session.client }),
      address: session.address,
      requestId: uplink.requestId,
      payload: uplink.payload,
      metadata: uplink.metadata,
      retransmit: uplink.retransmit,
      receivedAtMs: BigInt(clock.now()),
    });
  }
}

/** The ack always; the reply too where one was wanted, with the same status. */
function answer(session: Session, { requestId, wantReply }: Uplink, outcome: UplinkOutcome): void {
  const { status, retryAfterMs = 0, payload = { case: undefined } } = outcome;
  const ack = create(UplinkAckSchema, { requestId, status, retryAfterMs });
  session.send(SharedFrame.of({ case: "uplinkAck", value: ack }));
  if (!wantReply) return;
  const reply = create(UplinkReplySchema, { requestId, status, payload });
  session.send(SharedFrame.of({ case: "uplinkReply", value: reply }));
}
