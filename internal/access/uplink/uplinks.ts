/** From an Uplink frame to its business. What is not forwarded is answered here, at once. */
import { type Uplink, UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Wheel } from "../../clock/wheel.ts";
import { payloadLength } from "../../wire/payload.ts";
import type { SessionLimits } from "../limits.ts";
import type { ConnectionLog } from "../log/connection-log.ts";
import type { AccessMetrics } from "../metrics.ts";
import type { Session } from "../session/session.ts";
import { AnswerWindows, windowKey } from "./answer-window.ts";
import { type BusinessStatistics, count } from "./counters.ts";
import { Dialogue } from "./dialogue.ts";
import { answerAtOnce, Exchange } from "./exchange.ts";
import type { Lane } from "./lane.ts";
import type { Lanes } from "./lanes.ts";
import { outcome, refusal, type UplinkOutcome } from "./outcome.ts";

const UNKNOWN = outcome(UplinkStatus.UNKNOWN_BUSINESS);
const TOO_LARGE = outcome(UplinkStatus.TOO_LARGE);
const TOO_MANY = outcome(UplinkStatus.BUSY, 1_000);
const DUPLICATE = refusal("uplink.request_id is that of another uplink that is under way");

export interface UplinksOptions {
  lanes: Lanes;
  clock: Clock;
  wheel: Wheel;
  log: Pick<ConnectionLog, "incarnation">;
  limits: SessionLimits;
  metrics: AccessMetrics;
}

export class Uplinks {
  readonly #options: UplinksOptions;
  readonly #windows = new AnswerWindows<Exchange>();

  constructor(options: UplinksOptions) {
    this.#options = options;
  }

  /** The registered businesses, and what was counted for them. */
  get businesses(): Iterable<BusinessStatistics> {
    return this.#options.lanes;
  }

  forward(session: Session, uplink: Uplink): void {
    const { metrics, wheel, log, clock } = this.#options;
    metrics.uplinks += 1;
    const dialogue = this.#dialogue(session, uplink.business);
    if (dialogue === undefined) {
      metrics.uplinksUnknown += 1;
      answerAtOnce(session, uplink, UNKNOWN);
      return;
    }
    dialogue.lane.counters.uplinks += 1;
    const { requestId } = uplink;
    const window = this.#windows.of(dialogue.windowKey, wheel.now);
    const known = window.find(requestId);
    if (known !== undefined && uplink.retransmit) {
      dialogue.lane.counters.repeated += 1;
      if (known instanceof Exchange) known.repeat(session);
      else answerAtOnce(session, uplink, known);
      return;
    }
    if (known instanceof Exchange && known.isOf(session)) {
      dialogue.lane.counters.duplicates += 1;
      this.#refuse(session, uplink, dialogue.lane, DUPLICATE);
      return;
    }
    const problem = this.#problem(dialogue, uplink);
    if (problem !== undefined) {
      this.#refuse(session, uplink, dialogue.lane, problem);
      return;
    }
    const exchange = new Exchange({
      session,
      dialogue,
      requestId,
      sealed: dialogue.envelope.seal(session, uplink, log.incarnation, clock.now()),
      wantReply: uplink.wantReply,
      wheel,
      windows: this.#windows,
      window,
    });
    window.begin(requestId, exchange);
    dialogue.lane.forward(exchange);
  }

  /** Undefined for a business that is not registered. */
  #dialogue(session: Session, business: string): Dialogue | undefined {
    const last = session.lastDialogue;
    const isLast = last !== undefined && last.lane.business === business;
    const known = isLast ? last : session.dialogues?.get(business);
    if (known !== undefined && !known.lane.retired) {
      session.lastDialogue = known;
      return known;
    }
    const lane = this.#options.lanes.find(session.app, business);
    if (lane === undefined) {
      session.dialogues?.delete(business);
      return undefined;
    }
    const key = windowKey(session.app, session.device, business);
    const dialogue = new Dialogue(lane, key, this.#options.wheel.now);
    session.dialogues ??= new Map();
    session.dialogues.set(business, dialogue);
    session.lastDialogue = dialogue;
    return dialogue;
  }

  /** Why this uplink is not forwarded, if it is not. */
  #problem(dialogue: Dialogue, uplink: Uplink): UplinkOutcome | undefined {
    const { limits, wheel } = this.#options;
    const { settings, counters } = dialogue.lane;
    if (payloadLength(uplink.payload) > settings.maxPayloadBytes) return TOO_LARGE;
    const waitMs = dialogue.pace(wheel.now);
    if (waitMs > 0) {
      counters.tooFast += 1;
      return outcome(UplinkStatus.BUSY, waitMs);
    }
    return dialogue.underWay >= limits.maxUplinks ? TOO_MANY : undefined;
  }

  #refuse(session: Session, uplink: Uplink, lane: Lane, why: UplinkOutcome): void {
    count(lane.counters, why);
    answerAtOnce(session, uplink, why);
  }
}
