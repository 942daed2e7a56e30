/** What was written to in this turn of the event loop, and is flushed together at its end. */
interface Flushable {
  flush(): void;
}

let waiting: Flushable[] = [];

/** Calls `target.flush()` when the events of this turn have been handled. */
export function flushSoon(target: Flushable): void {
  // The check phase follows the poll phase directly, so what several sockets brought in one poll
  // leaves together, and nothing waits for longer than that poll.
  if (waiting.push(target) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const targets = waiting;
  waiting = [];
  for (const target of targets) target.flush();
}
