/** The thread of worker-heartbeat.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { PROJECTOR_BEAT_SUBJECT } from "../../streams/subjects.ts";
import { connect } from "../bus/connect.ts";
import { systemClock } from "../clock/clock.ts";
import { BEAT_EVERY_MS, MainLoop } from "./heartbeat.ts";
import type { HeartbeatReport, HeartbeatWork } from "./worker-heartbeat.ts";

const { connect: options, steps, beat: first } = workerData as HeartbeatWork;
const report = (why: Error) =>
  parentPort?.postMessage({ why: why.message } satisfies HeartbeatReport);

const counter = new Int32Array(steps);
const mainLoop = new MainLoop(systemClock.monotonic());
let beat = first;
const { nc, link } = await connect({ ...options, events: { waiting: report, fault: report } });

const send = () => {
  // Beats that a broken connection kept back would say later what may no longer be true.
  if (beat === undefined || !link.connected) return;
  if (mainLoop.moves(Atomics.load(counter, 0), systemClock.monotonic())) {
    nc.publish(PROJECTOR_BEAT_SUBJECT, beat);
  }
};
systemClock.every(BEAT_EVERY_MS, send);
parentPort?.on("message", (next: Uint8Array) => {
  beat = next;
  send();
});
