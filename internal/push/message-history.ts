/** What became of must-arrive messages, from the receipts of everybody who had a hand in it. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type MessageDeliverySchema,
  MessageDelivery_State as State,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import type { Receipt, ReceiptStep } from "../../streams/records.ts";
import type { Receipts } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";

/** Receipts follow their messages by moments. */
const ASK_AGAIN_AFTER_MS = [100, 300, 1_000];

/** Of steps of one time, what comes first. */
const ORDER: readonly ReceiptStep["step"][] = [
  "refused",
  "accepted",
  "routed",
  "written",
  "mailed",
  "acked",
  "expired",
];

type DeliveryInit = MessageInitShape<typeof MessageDeliverySchema>;

export class MessageHistory {
  readonly #receipts: Receipts;
  readonly #clock: Clock;

  constructor(options: { receipts: Receipts; clock?: Clock }) {
    this.#receipts = options.receipts;
    this.#clock = options.clock ?? systemClock;
  }

  /** @throws HoldfastError `not-found`, `unavailable`. */
  async of(app: string, messageId: string): Promise<DeliveryInit[]> {
    let receipts = await this.#receipts.read(app, messageId);
    for (const delayMs of ASK_AGAIN_AFTER_MS) {
      if (receipts.length > 0) break;
      await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
      receipts = await this.#receipts.read(app, messageId);
    }
    if (receipts.length === 0) {
      const rule = "only must-arrive messages are known, and for an hour after they are over";
      throw new HoldfastError("not-found", `message_id: no such message; ${rule}`);
    }
    return deliveriesOf(receipts, this.#clock.now());
  }
}

/** Puts the receipts of a message together, by device. A step that two of them tell of counts once. */
export function deliveriesOf(receipts: readonly Receipt[], nowMs: number): DeliveryInit[] {
  const byDevice = new Map<string, Receipt>();
  for (const receipt of receipts) {
    const known = byDevice.get(receipt.device);
    if (known === undefined) {
      byDevice.set(receipt.device, structuredClone(receipt));
      continue;
    }
    known.sequence = Math.max(known.sequence, receipt.sequence);
    known.expiresAtMs = Math.max(known.expiresAtMs, receipt.expiresAtMs);
    for (const step of receipt.steps) {
      const same = known.steps.find((other) => isSame(other, step));
      if (same === undefined) known.steps.push(step);
      else same.at = Math.min(same.at, step.at);
    }
  }
  return [...byDevice.values()]
    .toSorted((a, b) => (a.device < b.device ? -1 : 1))
    .map((receipt) => deliveryOf(receipt, nowMs));
}

function deliveryOf(receipt: Receipt, nowMs: number): DeliveryInit {
  const { device, business, sequence, expiresAtMs } = receipt;
  const steps = receipt.steps.toSorted(
    (a, b) => a.at - b.at || ORDER.indexOf(a.step) - ORDER.indexOf(b.step),
  );
  // Whoever is to say so has not come to it yet, or has ended before.
  if (!isOver(steps) && expiresAtMs <= nowMs) steps.push({ step: "expired", at: expiresAtMs });
  return {
    device,
    business,
    state: stateOf(steps),
    deliverySequence: BigInt(sequence),
    expiresAt: timestampFromMs(expiresAtMs),
    steps: steps.map(({ step, at, node = "", connection = "", attempt = 0, reason = "" }) => {
      return { step, at: timestampFromMs(at), node, connectionId: connection, attempt, reason };
    }),
  };
}

/** What came first holds: an owner that takes over may tell of the end again, later and otherwise. */
function stateOf(steps: readonly ReceiptStep[]): State {
  const end = steps.find(({ step }) => step === "acked" || step === "expired");
  if (end !== undefined) return end.step === "acked" ? State.DELIVERED : State.EXPIRED;
  if (has(steps, "refused") && !has(steps, "accepted")) return State.REFUSED;
  return has(steps, "mailed") ? State.WAITING : State.ACCEPTED;
}

function isOver(steps: readonly ReceiptStep[]): boolean {
  return stateOf(steps) !== State.ACCEPTED && stateOf(steps) !== State.WAITING;
}

function has(steps: readonly ReceiptStep[], wanted: ReceiptStep["step"]): boolean {
  return steps.some(({ step }) => step === wanted);
}

/** Two owners may tell the same end of a message, at different times. */
function isSame(a: ReceiptStep, b: ReceiptStep): boolean {
  if (a.step !== b.step) return false;
  if (a.step === "accepted" || a.step === "acked" || a.step === "expired") return true;
  return a.at === b.at && a.attempt === b.attempt && a.connection === b.connection;
}
