import type { Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";

/** What the push role has done since it started; metrics read it when they are scraped. */
export class PushCounters {
  /** Calls that were let in; each item of a stream is one. */
  calls = 0;
  /** Targets whose route had to be resolved again because the node no longer had the connection. */
  retries = 0;
  /** Results by `Status`. */
  readonly targets = new Map<Status, number>();

  target(status: Status, count = 1): void {
    this.targets.set(status, (this.targets.get(status) ?? 0) + count);
  }
}
