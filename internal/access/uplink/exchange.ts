/** One uplink on its way to a business, and the answer on its way back. */
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Wheel, WheelEntry } from "../../clock/wheel.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import { encodeUplinkAck, encodeUplinkReply } from "../../wire/uplink-answers.ts";
import type { Session } from "../session/session.ts";
import type { AnswerWindow, AnswerWindows } from "./answer-window.ts";
import { count } from "./counters.ts";
import type { Dialogue } from "./dialogue.ts";
import type { Taker } from "./guarded.ts";
import { outcome, type UplinkOutcome } from "./outcome.ts";
import type { Place } from "./reply-order.ts";

/** What a business answers proves that it has the uplink, also when the answer is no use. */
const HAS_IT = outcome(UplinkStatus.OK);
const TIMEOUT = outcome(UplinkStatus.TIMEOUT);
/** It waited for a place in vain. */
const NO_PLACE = outcome(UplinkStatus.BUSY, 1_000);

export interface ExchangeOptions {
  session: Session;
  dialogue: Dialogue;
  requestId: string;
  /** The encoded HandleUplinkRequest. */
  sealed: Uint8Array;
  wantReply: boolean;
  wheel: Wheel;
  /** Where its answer is remembered. */
  windows: AnswerWindows<Exchange>;
  window: AnswerWindow<Exchange>;
}

export class Exchange implements WheelEntry, Taker {
  /** The encoded HandleUplinkRequest. */
  readonly sealed: Uint8Array;
  /** Set when the business may have seen it. */
  begun = false;
  /** Set when the client has its answer. */
  settled = false;
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;
  readonly #o: ExchangeOptions;
  readonly #deadlineMs: number;
  readonly #place: Place<Reply> | undefined;
  /** Where the answer goes: the connection that sent it last. */
  #session: Session;
  #acknowledged = false;
  /** How often the present connection has sent it, and so how often it is answered. */
  #times = 1;

  constructor(options: ExchangeOptions) {
    const { session, dialogue, sealed, wantReply, wheel } = options;
    const { timeoutMs } = dialogue.lane.settings;
    this.#o = options;
    this.sealed = sealed;
    this.#session = session;
    this.#place = wantReply ? dialogue.order?.take() : undefined;
    this.#deadlineMs = wheel.now + timeoutMs;
    dialogue.underWay += 1;
    dialogue.lane.underWay += 1;
    wheel.schedule(this, timeoutMs);
  }

  /** Milliseconds to the deadline. */
  get leftMs(): number {
    return Math.max(1, this.#deadlineMs - this.#o.wheel.now);
  }

  isOf(session: Session): boolean {
    return this.#session === session;
  }

  /** The client has sent it again: it is answered once more, or where the client is now. */
  repeat(session: Session): void {
    if (session === this.#session) this.#times += 1;
    else this.#times = 1;
    this.#session = session;
    if (this.#acknowledged) acknowledge(session, this.#o.requestId, HAS_IT);
  }

  /** The business has it, and will answer later. */
  taken(): void {
    if (this.settled || this.#acknowledged) return;
    this.#acknowledged = true;
    for (let i = 0; i < this.#times; i += 1) {
      acknowledge(this.#session, this.#o.requestId, HAS_IT);
    }
  }

  /** The end. Only the first counts. */
  settle(result: UplinkOutcome): void {
    if (this.settled) return;
    this.settled = true;
    const { wheel, dialogue } = this.#o;
    const { lane } = dialogue;
    wheel.remove(this);
    dialogue.underWay -= 1;
    this.#remember(result);
    count(lane.counters, result);
    if (this.begun && result.status === UplinkStatus.TOO_LARGE) lane.counters.repliesTooLarge += 1;
    this.#answer(result);
    lane.left();
  }

  due(): void {
    this.settle(this.begun ? TIMEOUT : NO_PLACE);
  }

  /** Only what the business has: what it may not have is worth another try. */
  #remember(result: UplinkOutcome): void {
    const { windows, window, requestId, wheel } = this.#o;
    const { status } = result;
    const has = status === UplinkStatus.OK || status === UplinkStatus.REFUSED;
    // A reply too long is the business's answer too, and would be as long again.
    if (has || (this.begun && status === UplinkStatus.TOO_LARGE)) {
      windows.grew(window.answer(requestId, this, result), wheel.now);
    } else window.forget(requestId, this);
  }

  #answer(result: UplinkOutcome): void {
    const session = this.#session;
    const { requestId } = this.#o;
    if (!this.#acknowledged) {
      const ack = this.begun && result.status === UplinkStatus.TOO_LARGE ? HAS_IT : result;
      for (let i = 0; i < this.#times; i += 1) acknowledge(session, requestId, ack);
    }
    if (!this.#o.wantReply) return;
    const reply = { session, times: this.#times, frame: replyFrame(requestId, result) };
    const { order } = this.#o.dialogue;
    if (order === undefined || this.#place === undefined) {
      deliver(reply);
    } else {
      for (const ready of order.fill(this.#place, reply)) deliver(ready);
    }
  }
}

/** A reply on its way to a client, which may have asked more than once. */
export interface Reply {
  session: Session;
  times: number;
  frame: SharedFrame;
}

function deliver({ session, times, frame }: Reply): void {
  for (let i = 0; i < times; i += 1) send(session, frame);
}

/** Answers an uplink that is not forwarded. The reply, where one is wanted, has the same status. */
export function answerAtOnce(
  session: Session,
  { requestId, wantReply }: { requestId: string; wantReply: boolean },
  result: UplinkOutcome,
): void {
  acknowledge(session, requestId, result);
  if (wantReply) send(session, replyFrame(requestId, result));
}

function acknowledge(session: Session, requestId: string, result: UplinkOutcome): void {
  const { status, retryAfterMs } = result;
  send(session, SharedFrame.fromBinary(encodeUplinkAck(requestId, status, retryAfterMs)));
}

function replyFrame(requestId: string, { status, payload }: UplinkOutcome): SharedFrame {
  return SharedFrame.fromBinary(encodeUplinkReply(requestId, status, payload));
}

function send(session: Session, frame: SharedFrame): void {
  if (session.state !== "closed") session.send(frame);
}
