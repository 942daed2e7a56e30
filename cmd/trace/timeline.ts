import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type MessageDelivery,
  MessageDelivery_StateSchema,
  type MessageStep,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";

/** The way to one device, a line for each step with the time since the one before. */
export function timeline(delivery: MessageDelivery): string[] {
  const { device, deliverySequence, business, state, steps } = delivery;
  const name = MessageDelivery_StateSchema.value[state]?.name ?? "UNKNOWN";
  const lines = [`${device}: ${name}, delivery ${deliverySequence}, business ${business}`];
  let before: number | undefined;
  for (const step of steps) {
    const at = step.at === undefined ? 0 : timestampMs(step.at);
    const when = before === undefined ? clockTime(at) : `+${duration(at - before)}`;
    lines.push(`  ${when.padStart(14)}  ${step.step.padEnd(8)}  ${details(step)}`.trimEnd());
    before = at;
  }
  const [first, last] = [steps[0]?.at, steps.at(-1)?.at];
  if (first !== undefined && last !== undefined && steps.length > 1) {
    lines.push(`  ${duration(timestampMs(last) - timestampMs(first)).padStart(14)}  in all`);
  }
  return lines;
}

function details({ node, connectionId, attempt, reason }: MessageStep): string {
  return [
    node && `node ${node}`,
    connectionId && `connection ${connectionId}`,
    attempt > 0 && `attempt ${attempt}`,
    reason,
  ]
    .filter(Boolean)
    .join(", ");
}

/** "13:04:05.123" in UTC. */
function clockTime(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(11, 23);
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
] as const;

/** "12 ms", "2.0 s", "3.5 h". */
function duration(ms: number): string {
  for (const [unit, length] of UNITS) {
    if (ms >= length) return `${(ms / length).toFixed(1)} ${unit}`;
  }
  return `${ms} ms`;
}
