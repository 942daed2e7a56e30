import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { call } from "../support/gateway.ts";
import type { Entry, History } from "./history.ts";

/** The messages that were accepted and have been neither received nor reported expired, with their devices. */
export function undelivered(history: readonly Entry[]): Map<string, string[]> {
  const settled = new Set<string>();
  for (const entry of history) {
    if (entry.did === "received" || entry.did === "expired") {
      settled.add(`${entry.message} ${entry.device}`);
    }
  }
  const left = new Map<string, string[]>();
  for (const entry of history) {
    if (entry.did !== "accepted" || settled.has(`${entry.message} ${entry.device}`)) continue;
    left.set(entry.message, [...(left.get(entry.message) ?? []), entry.device]);
  }
  return left;
}

const METHOD = "holdfast.directory.v1.DirectoryService/GetMessage";
/** More than that are not a matter of time. */
const ASKED_AT_ONCE = 500;

/** Asks the gateway what became of these messages, and writes down which have expired. */
export async function noteExpired(
  pushUrl: string,
  messages: ReadonlyMap<string, readonly string[]>,
  history: History,
): Promise<void> {
  for await (const { message, device, state } of deliveriesOf(pushUrl, messages)) {
    if (state === "EXPIRED") history.append({ did: "expired", device, message });
  }
}

/** For whoever wonders what happened to them: a file of what the gateway knows of these messages. */
export async function keepTraces(
  pushUrl: string,
  messages: ReadonlyMap<string, readonly string[]>,
  folder: string,
): Promise<void> {
  const traces = await Array.fromAsync(deliveriesOf(pushUrl, messages));
  if (traces.length === 0) return;
  await mkdir(join(folder, "logs"), { recursive: true });
  await writeFile(join(folder, "logs", "undelivered.json"), JSON.stringify(traces, null, 2));
}

interface Delivery {
  message: string;
  device: string;
  state?: string;
}

/** What GetMessage says of them. */
async function* deliveriesOf(
  pushUrl: string,
  messages: ReadonlyMap<string, readonly string[]>,
): AsyncIterable<Delivery> {
  for (const [message, devices] of [...messages].slice(0, ASKED_AT_ONCE)) {
    const request = { app: "demo", messageId: message };
    // Whoever does not answer is asked again in the next round.
    const answer = await call<{ deliveries?: Delivery[] }>(pushUrl, METHOD, request).catch(
      (error: Error) => ({ deliveries: [], error: error.message }),
    );
    const { deliveries = [], ...rest } = answer;
    for (const device of devices) {
      const known = deliveries.find((delivery) => delivery.device === device);
      yield { ...rest, ...known, message, device };
    }
  }
}
