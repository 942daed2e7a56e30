import { decodeJson, encodeJson, type Route, type UserDevice } from "../../streams/records.ts";
import { userKey } from "../../streams/subjects.ts";
import type { Bucket } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import { KeyWriter, type Permission, type WriteFailure } from "./key-writer.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;

export interface UserDevicesOptions extends Permission {
  /** `hf_user` */
  bucket: Bucket;
  clock: Clock;
  /** The most puts in flight at once. */
  window: number;
  failed(why: WriteFailure): void;
}

/**
 * Writes down which devices each user has. The keys are not spread by partition, and whoever has
 * written one has said the same.
 */
export class UserDevices {
  readonly #writer: KeyWriter<UserDevice>;
  readonly #clock: Clock;

  constructor(options: UserDevicesOptions) {
    this.#clock = options.clock;
    this.#writer = new KeyWriter<UserDevice>({
      ...options,
      encode: encodeJson,
      decode: decodeJson,
      judge: (stored, { at }) => (at - stored.at < DAY_MS ? "keep" : "write"),
    });
  }

  /** Writes that are not yet acknowledged. */
  get backlog(): number {
    return this.#writer.backlog;
  }

  /** Written when the association is new or a day old. */
  put({ app, user, device }: Route): void {
    if (user === "") return;
    const key = userKey(app, user, device);
    const known = this.#writer.item(key);
    const at = this.#clock.now();
    if (known === undefined || at - known.at >= DAY_MS) this.#writer.put(key, { at });
  }

  forget({ app, user, device }: Route): void {
    this.#writer.forget(userKey(app, user, device));
  }

  flushed(done: () => void): void {
    this.#writer.flushed(done);
  }

  resume(): void {
    this.#writer.resume();
  }

  close(): void {
    this.#writer.close();
  }
}
