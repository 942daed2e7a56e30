import { type EventLoopUtilization, performance } from "node:perf_hooks";

/** How busy this process's event loop is. */
export class LoopLoad {
  #last: EventLoopUtilization = performance.eventLoopUtilization();

  /** Utilisation since it was last asked for, 0 to 1. */
  take(): number {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#last);
    this.#last = now;
    return utilization;
  }
}
