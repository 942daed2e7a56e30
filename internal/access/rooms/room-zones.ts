import { decodeJson, type RoomSettings } from "../../../streams/records.ts";
import { parseRoomKey } from "../../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../../bus/contract.ts";

/** Told when a room comes into another zone; "" for none. */
export type ZoneChanged = (app: string, room: string, zone: string) => void;

const EVERY_ROOM = ">";

/** Which zone each room is in, followed live. Rooms in no zone take no memory. */
export class RoomZones {
  readonly #zones = new Map<string, Map<string, string>>();
  #watch: Subscription | undefined;
  /** Called from now on with each change. */
  changed: ZoneChanged = () => {};

  private constructor() {}

  /** Reads and follows bucket `hf_room`. Resolves when the zones of now are known. */
  static async follow(settings: Bucket): Promise<RoomZones> {
    const zones = new RoomZones();
    zones.#watch = await settings.watch(EVERY_ROOM, (entry) => zones.#learn(entry));
    return zones;
  }

  /** "" for none. */
  zoneOf(app: string, room: string): string {
    return this.#zones.get(app)?.get(room) ?? "";
  }

  stop(): void {
    this.#watch?.stop();
  }

  #learn(entry: Entry): void {
    const { app, room } = parseRoomKey(entry.key);
    const zone = entry.value === undefined ? "" : decodeJson<RoomSettings>(entry.value).zone;
    if (zone === this.zoneOf(app, room)) return;
    let zones = this.#zones.get(app);
    if (zones === undefined) {
      zones = new Map();
      this.#zones.set(app, zones);
    }
    if (zone === "") zones.delete(room);
    else zones.set(room, zone);
    this.changed(app, room, zone);
  }
}
