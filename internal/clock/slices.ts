import type { Clock, Timer } from "./clock.ts";

/** A turn that takes longer delays every frame, acknowledgement and heartbeat behind it. */
const SLICE_MS = 5;
/** How often a pass that is held to a rate goes on. */
const PACE_MS = 50;

export interface SliceOptions {
  clock: Clock;
  /** The work of one turn, in milliseconds. */
  sliceMs?: number | undefined;
  /** No more items a second than this. Without: as many as there are. */
  perSecond?: number | undefined;
  /** The last item is done. */
  done?: () => void;
}

/**
 * Does the work for each item, a slice in this turn and the rest in later ones, so that a pass over
 * everything that a node holds never takes a turn longer than a few milliseconds. The items may come
 * and go meanwhile, as their iterator allows it. Cancelling stops it where it is.
 */
export function inSlices<T>(
  items: Iterable<T>,
  work: (item: T) => void,
  options: SliceOptions,
): Timer {
  const { clock, sliceMs = SLICE_MS, perSecond = Number.POSITIVE_INFINITY, done } = options;
  const iterator = items[Symbol.iterator]();
  const startedAt = clock.monotonic();
  let finished = 0;
  let cancelled = false;
  let timer: Timer | undefined;

  function turn(): void {
    const began = clock.monotonic();
    // The first ones at once, then as time allows.
    const allowed = (perSecond * (began - startedAt + PACE_MS)) / 1_000;
    while (finished < allowed) {
      const next = iterator.next();
      if (next.done === true) {
        done?.();
        return;
      }
      work(next.value);
      finished += 1;
      if (cancelled) return;
      if (clock.monotonic() - began >= sliceMs) break;
    }
    timer = clock.after(finished < allowed ? 0 : PACE_MS, turn);
  }

  turn();
  return {
    cancel() {
      cancelled = true;
      timer?.cancel();
    },
  };
}
