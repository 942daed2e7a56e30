import type { Messages, Subscription } from "../../bus/contract.ts";
import type { Session } from "../session/session.ts";
import { type ChannelMessage, subscribeChannel } from "./channel.ts";
import type { Room } from "./room.ts";

interface Zone {
  readonly rooms: Set<Room>;
  readonly subscription: Subscription;
}

export interface AppChannelsOptions {
  app: string;
  messages: Messages;
  /** Called with each message before it goes out. */
  count: () => void;
  failed: (error: unknown) => void;
}

/**
 * What one app has on this node: its sessions, rooms and zones. A zone is heard while one of its
 * rooms has members here, the app's broadcasts while it has a session here.
 */
export class AppChannels {
  readonly sessions = new Set<Session>();
  readonly rooms = new Map<string, Room>();
  readonly #zones = new Map<string, Zone>();
  readonly #options: AppChannelsOptions;
  readonly #broadcasts: Subscription;
  /** Numbers the messages to zones, so that a session in several rooms of one is served once. */
  #zoneMessages = 0;

  constructor(options: AppChannelsOptions) {
    const { app, messages, failed } = options;
    this.#options = options;
    this.#broadcasts = subscribeChannel(
      messages,
      { kind: "all", app },
      (message) => this.#broadcast(message),
      failed,
    );
  }

  close(): void {
    this.#broadcasts.stop();
  }

  /** Puts the room into a zone, "" for none, and takes it out of the one before. */
  setZone(room: Room, zone: string): void {
    if (room.zone === zone) return;
    this.#leaveZone(room);
    room.zone = zone;
    if (zone !== "") this.#zone(zone).rooms.add(room);
  }

  #zone(id: string): Zone {
    let zone = this.#zones.get(id);
    if (zone === undefined) {
      const { app, messages, failed } = this.#options;
      const rooms = new Set<Room>();
      const subscription = subscribeChannel(
        messages,
        { kind: "zone", app, id },
        (message) => this.#toRooms(rooms, message),
        failed,
      );
      zone = { rooms, subscription };
      this.#zones.set(id, zone);
    }
    return zone;
  }

  #leaveZone(room: Room): void {
    const zone = this.#zones.get(room.zone);
    if (zone === undefined) return;
    zone.rooms.delete(room);
    if (zone.rooms.size > 0) return;
    zone.subscription.stop();
    this.#zones.delete(room.zone);
  }

  #toRooms(rooms: Set<Room>, message: ChannelMessage): void {
    this.#options.count();
    this.#zoneMessages += 1;
    for (const room of rooms) {
      for (const session of room.members) {
        if (session.zoneMessage === this.#zoneMessages) continue;
        session.zoneMessage = this.#zoneMessages;
        session.deliver(message.frame, message.priority);
      }
    }
  }

  #broadcast(message: ChannelMessage): void {
    this.#options.count();
    for (const session of this.sessions) session.deliver(message.frame, message.priority);
  }
}
