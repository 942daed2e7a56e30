import type { DeliveryStore } from "./delivery-store.ts";

/**
 * Saves how far the application is before the gateway hears of it: what is acknowledged is never sent
 * again, and what is sent again must be known.
 */
export class SavedPosition {
  readonly #store: DeliveryStore;
  readonly #saved: (sequence: bigint) => void;
  readonly #failed: (error: unknown) => void;
  #savedUpTo = 0n;
  #wanted = 0n;
  #saving = false;

  /** `saved`: up to here it is kept, or could not be, and `failed` was told why. */
  constructor(
    store: DeliveryStore,
    saved: (sequence: bigint) => void,
    failed: (error: unknown) => void,
  ) {
    this.#store = store;
    this.#saved = saved;
    this.#failed = failed;
  }

  async load(): Promise<bigint> {
    try {
      this.#savedUpTo = (await this.#store.load()) ?? 0n;
    } catch (error) {
      this.#failed(error);
    }
    return this.#savedUpTo;
  }

  /** The newest is saved, when the one before it is. */
  save(sequence: bigint): void {
    if (sequence <= this.#savedUpTo) {
      this.#saved(sequence);
      return;
    }
    this.#wanted = sequence;
    if (!this.#saving) void this.#saveWanted();
  }

  async #saveWanted(): Promise<void> {
    this.#saving = true;
    while (this.#wanted > this.#savedUpTo) {
      const sequence = this.#wanted;
      try {
        await this.#store.save(sequence);
      } catch (error) {
        // The application has handled it: the gateway need not send it again.
        this.#failed(error);
      }
      this.#savedUpTo = sequence;
      this.#saved(sequence);
    }
    this.#saving = false;
  }
}
