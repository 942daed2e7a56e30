import { decodeJson, type RoomSettings } from "../../../streams/records.ts";
import { parseRoomKey } from "../../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../../bus/contract.ts";
import { NO_RULES, type RoomRules, rulesOf } from "./rules.ts";

/** Told when the rules of a room change. */
export type RulesChanged = (app: string, room: string, rules: RoomRules) => void;

const EVERY_ROOM = ">";

/** The rules of each room, followed live. Rooms without any take no memory. */
export class RoomRulesView {
  readonly #apps = new Map<string, Map<string, RoomRules>>();
  #watch: Subscription | undefined;
  /** Called from now on with each change. */
  changed: RulesChanged = () => {};

  private constructor() {}

  /** Reads and follows bucket `hf_room`. Resolves when the rules of now are known. */
  static async follow(settings: Bucket): Promise<RoomRulesView> {
    const view = new RoomRulesView();
    view.#watch = await settings.watch(EVERY_ROOM, (entry) => view.#learn(entry));
    return view;
  }

  of(app: string, room: string): RoomRules {
    return this.#apps.get(app)?.get(room) ?? NO_RULES;
  }

  stop(): void {
    this.#watch?.stop();
  }

  #learn(entry: Entry): void {
    const { app, room } = parseRoomKey(entry.key);
    const rules =
      entry.value === undefined ? NO_RULES : rulesOf(decodeJson<RoomSettings>(entry.value));
    if (same(rules, this.of(app, room))) return;
    let rooms = this.#apps.get(app);
    if (rooms === undefined) {
      rooms = new Map();
      this.#apps.set(app, rooms);
    }
    if (same(rules, NO_RULES)) rooms.delete(room);
    else rooms.set(room, rules);
    this.changed(app, room, rules);
  }
}

function same(a: RoomRules, b: RoomRules): boolean {
  return a.zone === b.zone && a.aggregation === b.aggregation && a.latestKey === b.latestKey;
}
