import type { Entry } from "./history.ts";
import type { LostTail } from "./server-faults.ts";

/** Counts are of pairs of message and device, but for the last two. */
export interface MustArriveVerdict {
  accepted: number;
  /** Accepted while it may have been lost with a server's unsynced tail; not among the accepted. */
  excused: number;
  /** Accepted, and given to the application. */
  delivered: number;
  /** Accepted, not delivered, and reported as expired. */
  expired: number;
  /** Given to the application again. */
  duplicates: number;
  /** Given to the application after one that was accepted later. */
  outOfOrder: number;
  /** Accepted, and neither delivered nor reported as expired. */
  lost: number;
  /** Given to another device than the sender meant. */
  misdelivered: number;
  /** What is wrong, a line each; not more than a few of each kind. */
  problems: string[];
}

const SHOWN_OF_EACH_KIND = 5;

/**
 * What the histories say of the promise: accepted is delivered, once, in order, or reported expired. What a
 * server may have lost, because it acknowledges before it syncs, was never accepted for good.
 */
export function checkMustArrive(
  history: readonly Entry[],
  lostTails: readonly LostTail[] = [],
): MustArriveVerdict {
  const mayBeLost = ({ at = 0 }: Entry) =>
    lostTails.some(({ fromMs, toMs }) => at >= fromMs && at <= toMs);
  const devices = new Map<string, DeviceTale>();
  const taleOf = (device: string) => {
    const tale = devices.get(device) ?? newTale();
    devices.set(device, tale);
    return tale;
  };
  const verdict = emptyVerdict();
  const complain = complaints(verdict.problems);

  for (const entry of history) {
    if (entry.did === "accepted") {
      const { accepted } = taleOf(entry.device);
      if (mayBeLost(entry)) verdict.excused++;
      else if (!accepted.has(entry.message)) accepted.set(entry.message, accepted.size);
    } else if (entry.did === "expired") {
      taleOf(entry.device).expired.add(entry.message);
    } else if (entry.did === "received") {
      if (!entry.meantFor.split(",").includes(entry.device)) {
        verdict.misdelivered++;
        complain("misdelivered", `${entry.device} got ${entry.message} for ${entry.meantFor}`);
      }
      taleOf(entry.device).received.push(entry.message);
    }
  }
  for (const [device, tale] of devices) judge(device, tale, verdict, complain);
  return verdict;
}

interface DeviceTale {
  /** Message to its place in the order of acceptance. */
  accepted: Map<string, number>;
  expired: Set<string>;
  received: string[];
}

function newTale(): DeviceTale {
  return { accepted: new Map(), expired: new Set(), received: [] };
}

type Complain = (kind: string, what: string) => void;

function judge(
  device: string,
  { accepted, expired, received }: DeviceTale,
  verdict: MustArriveVerdict,
  complain: Complain,
): void {
  const seen = new Set<string>();
  let newest = -1;
  for (const message of received) {
    if (seen.has(message)) {
      verdict.duplicates++;
      complain("duplicate", `${device} got ${message} again`);
      continue;
    }
    seen.add(message);
    // A message whose acceptance the sender never learnt has no known place in the order.
    const place = accepted.get(message);
    if (place === undefined) continue;
    if (place < newest) {
      verdict.outOfOrder++;
      complain("out of order", `${device} got ${message} after one that was accepted later`);
    }
    newest = Math.max(newest, place);
  }
  verdict.accepted += accepted.size;
  for (const message of accepted.keys()) {
    if (seen.has(message)) verdict.delivered++;
    else if (expired.has(message)) verdict.expired++;
    else {
      verdict.lost++;
      complain("lost", `${device} never got ${message}`);
    }
  }
}

function complaints(problems: string[]): Complain {
  const counts = new Map<string, number>();
  return (kind, what) => {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    if (count <= SHOWN_OF_EACH_KIND) problems.push(`${kind}: ${what}`);
  };
}

function emptyVerdict(): MustArriveVerdict {
  return {
    accepted: 0,
    excused: 0,
    delivered: 0,
    expired: 0,
    duplicates: 0,
    outOfOrder: 0,
    lost: 0,
    misdelivered: 0,
    problems: [],
  };
}
