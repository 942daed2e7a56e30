/**
 * Where an application keeps the number of the last must-arrive message it has handled, so that none
 * is given to it a second time after a restart. One store belongs to one device of one app.
 */
export interface DeliveryStore {
  /** What was saved last; undefined when nothing was. */
  load(): Promise<bigint | undefined>;
  /** Resolves when it is kept. Sequences grow, and one is saved at a time. */
  save(sequence: bigint): Promise<void>;
}

/** In the page's localStorage, under this key. */
export function localStorageDeliveries(key: string): DeliveryStore {
  return {
    async load() {
      return parseSequence(localStorage.getItem(key));
    },
    async save(sequence) {
      localStorage.setItem(key, String(sequence));
    },
  };
}

/** undefined for what is no sequence: then a message may come a second time, which beats none. */
export function parseSequence(text: unknown): bigint | undefined {
  return typeof text === "string" && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}
