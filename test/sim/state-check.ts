import type { StateEvent } from "../../streams/records.ts";

/**
 * What a subscriber of the connection-state subjects may rely on, however owners crash and return:
 * for each device online and offline take turns, an offline names the connection of the online before it,
 * and a connection that has ended never comes back. The same for who is in which room.
 */
export class StateCheck {
  readonly #violate: (text: string) => void;
  /** The connection that each device is online with, as told. */
  readonly #online = new Map<string, string>();
  readonly #ended = new Set<string>();
  readonly #inRoom = new Set<string>();
  /** Of each device: the newest sequence, and the ids of its events. */
  readonly #newest = new Map<string, { sequence: number; ids: Set<string> }>();
  #strict = true;

  constructor(violate: (text: string) => void) {
    this.#violate = violate;
  }

  /** Nothing was taken away. */
  get strict(): boolean {
    return this.#strict;
  }

  /** Records or routes were taken away, and with them the knowledge of what was told already. */
  damaged(): void {
    this.#strict = false;
  }

  told(event: StateEvent): void {
    if (!this.#strict || this.#isRepeated(event)) return;
    const { device, connection, room, business } = event;
    if (business !== "") return;
    const present = this.#online.get(device);
    const member = `${connection} ${room}`;
    switch (event.event) {
      case "online":
        if (present !== undefined) this.#wrong(event, `while ${present} was online`);
        if (this.#ended.has(connection)) this.#wrong(event, "though it had ended");
        this.#online.set(device, connection);
        break;
      case "offline":
        if (present !== connection) this.#wrong(event, `while ${present} was online`);
        this.#online.delete(device);
        // A replaced one is back when its node holds it for longer than the newer one lasts.
        if (event.reason !== "replaced") this.#ended.add(connection);
        for (const one of this.#inRoom) {
          if (one.startsWith(`${connection} `)) this.#wrong(event, `but is still in ${one}`);
        }
        break;
      case "enter":
        if (present !== connection) this.#wrong(event, `while ${present} was online`);
        if (this.#inRoom.has(member)) this.#wrong(event, "a second time");
        this.#inRoom.add(member);
        break;
      case "leave":
        if (!this.#inRoom.delete(member)) this.#wrong(event, "without having entered");
        break;
    }
  }

  /** What differs from the truth once the dust has settled. `open`: the connection ids of each device. */
  differences(open: ReadonlyMap<string, string | undefined>): string[] {
    if (!this.#strict) return [];
    const wrong: string[] = [];
    for (const [device, connection] of open) {
      const told = this.#online.get(device);
      if (told !== connection) wrong.push(`${device} is at ${connection}, but ${told} was told`);
    }
    return wrong;
  }

  /** A repeat that comes late, from a former owner: no newer than what the device had, and known by its id. */
  #isRepeated({ device, sequence, id }: StateEvent): boolean {
    let newest = this.#newest.get(device);
    if (newest === undefined || newest.sequence < sequence) {
      newest = { sequence, ids: new Set() };
      this.#newest.set(device, newest);
    }
    if (sequence < newest.sequence || newest.ids.has(id)) return true;
    newest.ids.add(id);
    return false;
  }

  #wrong({ event, device, connection, room, sequence }: StateEvent, why: string): void {
    this.#violate(`state: ${device}: ${connection} ${event} ${room} (${sequence}) ${why}`);
  }
}
