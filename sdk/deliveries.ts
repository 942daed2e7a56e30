interface Delivery {
  readonly sequence: bigint;
  state: "handling" | "handled" | "failed";
}

/**
 * The must-arrive messages of one device: each is given to the application once, and acknowledged
 * when the application has handled it. Acknowledgements are cumulative, so a message that is still
 * being handled, or whose handler failed, holds back those of later ones; the gateway sends it again.
 */
export class Deliveries {
  /** Everything up to here has been handled. */
  #handledUpTo: bigint;
  /** Later ones, by sequence. */
  readonly #open: Delivery[] = [];
  #ackPlanned = false;
  readonly #acknowledge: (sequence: bigint) => void;

  /** `handledUpTo`: where an earlier run of the application ended, 0n when that is not known. */
  constructor(handledUpTo: bigint, acknowledge: (sequence: bigint) => void) {
    this.#handledUpTo = handledUpTo;
    this.#acknowledge = acknowledge;
  }

  /** An earlier run of the application has handled everything up to here. */
  restore(handledUpTo: bigint): void {
    if (handledUpTo > this.#handledUpTo) this.#handledUpTo = handledUpTo;
  }

  /** For Login.last_delivery_sequence. */
  get handledUpTo(): bigint {
    return this.#handledUpTo;
  }

  /**
   * Calls `handle` unless this sequence has been handled or is being handled. Rejects when `handle`
   * fails; the delivery is then taken again when it comes again.
   */
  async offer(sequence: bigint, handle: () => Promise<void> | undefined): Promise<void> {
    const delivery = this.#take(sequence);
    if (delivery === undefined) return;
    try {
      const pending = handle();
      if (pending !== undefined) await pending;
      delivery.state = "handled";
    } catch (error) {
      delivery.state = "failed";
      throw error;
    }
    this.#settle();
  }

  /** The delivery to handle now, or undefined for a duplicate. */
  #take(sequence: bigint): Delivery | undefined {
    if (sequence <= this.#handledUpTo) {
      // The gateway has not seen the acknowledgement.
      this.#planAck();
      return undefined;
    }
    const at = this.#open.findIndex((delivery) => delivery.sequence >= sequence);
    const known = this.#open[at];
    if (known?.sequence === sequence) {
      if (known.state !== "failed") return undefined;
      known.state = "handling";
      return known;
    }
    const delivery: Delivery = { sequence, state: "handling" };
    this.#open.splice(at === -1 ? this.#open.length : at, 0, delivery);
    return delivery;
  }

  #settle(): void {
    let head = this.#open[0];
    if (head?.state !== "handled") return;
    while (head?.state === "handled") {
      this.#handledUpTo = head.sequence;
      this.#open.shift();
      head = this.#open[0];
    }
    this.#planAck();
  }

  /** One acknowledgement for all that are handled in one go. */
  #planAck(): void {
    if (this.#ackPlanned) return;
    this.#ackPlanned = true;
    queueMicrotask(() => {
      this.#ackPlanned = false;
      this.#acknowledge(this.#handledUpTo);
    });
  }
}
