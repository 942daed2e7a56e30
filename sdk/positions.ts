/** Where a client stands in rooms, zones and broadcasts, kept over restarts when the application wants it. */

/** A place in a channel. */
export interface Place {
  position: bigint;
  epoch: bigint;
}

/** Where an application keeps the places: one text. One store belongs to one device of one app. */
export interface PositionStore {
  /** What was saved last; undefined when nothing was. */
  load(): Promise<string | undefined>;
  /** Resolves when it is kept. One is saved at a time. */
  save(text: string): Promise<void>;
}

/** In the page's localStorage, under this key. */
export function localStoragePositions(key: string): PositionStore {
  return {
    async load() {
      return localStorage.getItem(key) ?? undefined;
    },
    async save(text) {
      localStorage.setItem(key, text);
    },
  };
}

export interface Places {
  rooms: Map<string, Place>;
  /** By zone; "" for broadcasts. */
  standings: Map<string, Place>;
}

export function placesToText({ rooms, standings }: Places): string {
  const plain = (places: Map<string, Place>) =>
    [...places].map(([name, { position, epoch }]) => [name, `${position}`, `${epoch}`]);
  return JSON.stringify({ rooms: plain(rooms), standings: plain(standings) });
}

/** What cannot be read counts as nothing: then messages are missed, and the application is not stopped. */
export function placesOfText(text: string | undefined): Places {
  try {
    const { rooms, standings } = JSON.parse(text ?? "{}");
    return { rooms: placesOf(rooms), standings: placesOf(standings) };
  } catch {
    return { rooms: new Map(), standings: new Map() };
  }
}

function placesOf(list: unknown): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const [name, position, epoch] of Array.isArray(list) ? list : []) {
    places.set(String(name), { position: BigInt(position), epoch: BigInt(epoch) });
  }
  return places;
}

const SAVE_EVERY_MS = 1_000;

/** Saves the places some time after they have changed, the newest when the one before is saved. */
export class SavedPlaces {
  readonly #store: PositionStore;
  readonly #places: () => Places;
  readonly #after: (ms: number, fire: () => void) => () => void;
  readonly #failed: (error: unknown) => void;
  #planned: (() => void) | undefined;
  #saving = false;
  #again = false;

  constructor(options: {
    store: PositionStore;
    places: () => Places;
    after: (ms: number, fire: () => void) => () => void;
    failed: (error: unknown) => void;
  }) {
    this.#store = options.store;
    this.#places = options.places;
    this.#after = options.after;
    this.#failed = options.failed;
  }

  async load(): Promise<Places> {
    try {
      return placesOfText(await this.#store.load());
    } catch (error) {
      this.#failed(error);
      return placesOfText(undefined);
    }
  }

  changed(): void {
    this.#planned ??= this.#after(SAVE_EVERY_MS, () => {
      this.#planned = undefined;
      void this.#save();
    });
  }

  /** Saves at once what has changed. */
  flush(): void {
    if (this.#planned === undefined) return;
    this.#planned();
    this.#planned = undefined;
    void this.#save();
  }

  async #save(): Promise<void> {
    this.#again = this.#saving;
    if (this.#saving) return;
    this.#saving = true;
    do {
      this.#again = false;
      try {
        await this.#store.save(placesToText(this.#places()));
      } catch (error) {
        this.#failed(error);
      }
    } while (this.#again);
    this.#saving = false;
  }
}
