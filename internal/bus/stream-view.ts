/** What a reader knows of a stream besides its messages. */
export interface StreamView {
  /** When it was made, as the server writes it. */
  created: string;
  /** The oldest message it has; one more than the last when it has none. */
  firstSequence: number;
  lastSequence: number;
}

/**
 * Why a reader that has everything up to `position` cannot go on in order, or undefined when it can.
 *
 * A stream loses its oldest messages first, to age or to its size, so everything below `firstSequence`
 * is gone, and the reader has a gap when that lies above the next it wants. Several partitions
 * share a stream, and nothing tells any more whose messages those were, so with `complete` the gap
 * is a break. That errs on the safe side: the position of a running reader moves along with
 * what others write, and the checkpoint of a stopped one with the digests of its partition,
 * every half minute; only after a standstill of the log's whole age is a break announced in vain.
 *
 * Position 0 means "from the oldest there is", so what went before is not missed.
 */
export function breakIn(
  before: StreamView | undefined,
  now: StreamView,
  reader: { position: number; complete: boolean },
): string | undefined {
  const { position, complete } = reader;
  if (before !== undefined && before.created !== now.created) return "was deleted and made anew";
  if (now.lastSequence < position) {
    return `ends at sequence ${now.lastSequence}, but was read up to ${position} before`;
  }
  if (complete && position > 0 && now.firstSequence > position + 1) {
    return `begins at sequence ${now.firstSequence}; what followed ${position} is gone`;
  }
  return undefined;
}
