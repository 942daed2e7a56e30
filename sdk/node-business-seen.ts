/** What the recognising of repeats needs of an event. */
export interface SeenEvent {
  readonly id: string;
  readonly device: string;
  readonly sequence: number;
  /** Unix ms. */
  readonly at: number;
}

interface Newest {
  readonly sequence: number;
  readonly at: number;
  /** Of the events of this sequence. */
  readonly ids: string[];
}

/** The devices that are remembered, those of late; about 200 bytes each. */
const DEVICES = 50_000;

/**
 * Recognises events that come again, however late: the owner of a partition tells of a record once
 * more when the one before it was cut off, and the stream knows the repeat for two minutes only. Events
 * of one device come in order, so what is below the newest is a repeat; unless its time is later, for
 * then the gateway's broker has lost its newest records and counts from further back.
 */
export class SeenEvents {
  readonly #devices: number;
  readonly #newest = new Map<string, Newest>();

  constructor(devices = DEVICES) {
    this.#devices = devices;
  }

  isRepeat({ id, device, sequence, at }: SeenEvent): boolean {
    const newest = this.#newest.get(device);
    if (newest === undefined) return false;
    if (sequence === newest.sequence) return newest.ids.includes(id);
    return sequence < newest.sequence && at <= newest.at;
  }

  /** The event was handled. */
  add({ id, device, sequence, at }: SeenEvent): void {
    const before = this.#newest.get(device);
    const ids = before?.sequence === sequence ? [...before.ids, id] : [id];
    // The devices of late stand at the end.
    this.#newest.delete(device);
    this.#newest.set(device, { sequence, at, ids });
    if (this.#newest.size <= this.#devices) return;
    for (const oldest of this.#newest.keys()) {
      this.#newest.delete(oldest);
      return;
    }
  }
}
