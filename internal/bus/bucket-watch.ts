import { systemClock } from "../clock/clock.ts";
import type { BucketPlace } from "./bucket-entry.ts";
import type { Connection } from "./connect.ts";
import type { Entry, Subscription } from "./contract.ts";
import { OrderedConsumer } from "./ordered-consumer.ts";

const RESTART_MS = 1_000;

/**
 * Calls `changed` with the newest entry of every key that matches, then with each change. Resolves when
 * the newest have been given. When the bucket was made anew it begins again with what is there.
 */
export function watchBucket(
  connection: Connection,
  place: BucketPlace,
  filter: string,
  changed: (entry: Entry) => void,
): Promise<Subscription> {
  const { promise, resolve } = Promise.withResolvers<Subscription>();
  let stopped = false;
  let reader: OrderedConsumer | undefined;
  const subscription = {
    stop() {
      stopped = true;
      reader?.stop();
    },
  };
  const begin = () => {
    if (stopped) return;
    reader = new OrderedConsumer(
      connection,
      {
        stream: place.stream,
        filter: place.subject(filter),
        start: "newest-of-each-subject",
        // Between two revisions of a key those that were replaced are missing, as they should.
        complete: false,
      },
      {
        message: (_, message) => changed(place.ofDelivered(message)),
        caughtUp: () => resolve(subscription),
        broken(why) {
          connection.events.fault(why);
          systemClock.after(RESTART_MS, begin);
        },
      },
    );
  };
  begin();
  return promise;
}
