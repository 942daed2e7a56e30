import type { Standing } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Message } from "./message.ts";
import type { Place } from "./positions.ts";
import type { Gap } from "./room.ts";

/** Where this client stands in the zones of its rooms, and in the broadcasts of its app. */
export class Standings {
  /** By zone; "" for broadcasts. */
  readonly places = new Map<string, Place>();

  /** For Login.resume. */
  resume(): { zone: string; position: bigint; epoch: bigint }[] {
    return [...this.places].map(([zone, place]) => ({ zone, ...place }));
  }

  /** @returns what is lost, if something may be. */
  stands({ zone, position, epoch, recovered }: Standing): Gap | undefined {
    if (position === 0n) {
      this.places.delete(zone);
      return undefined;
    }
    const before = this.places.get(zone);
    this.places.set(zone, { position: recovered && before ? before.position : position, epoch });
    if (recovered || before === undefined) return undefined;
    return { after: before.position, upTo: position, count: undefined };
  }

  /** @returns whether it is new. */
  take({ zone, position }: Pick<Message, "zone" | "position">): boolean {
    const place = this.places.get(zone ?? "");
    if (place === undefined) return true;
    if (position <= place.position) return false;
    place.position = position;
    return true;
  }
}
