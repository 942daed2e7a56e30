import { Message_Priority } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { encodeJson } from "../../../streams/records.ts";
import { type Channel, roomKey } from "../../../streams/subjects.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";
import { World } from "../world.ts";
import { SimRoomClient, ZONE, ZONED_ROOMS } from "./client.ts";
import { SimNode } from "./node.ts";
import { SimStream } from "./stream.ts";

export const ROOMS = [...ZONED_ROOMS, "c"];

/** The room stream, some access nodes, and clients in rooms of one app. */
export class RoomsCluster {
  readonly world: World;
  readonly stream: SimStream;
  readonly clients: SimRoomClient[] = [];
  readonly wrong: string[] = [];
  nodes: SimNode[] = [];
  readonly #settings = new MemoryBucket();
  readonly #blind: boolean;

  constructor(seed: number, { blind = false } = {}) {
    this.world = new World(seed);
    this.#blind = blind;
    const { world } = this;
    this.stream = new SimStream(world, {
      ms: world.between(5_000, 60_000),
      perChannel: Math.ceil(world.between(10, 400)),
      page: Math.ceil(world.between(1, 30)),
    });
    for (const room of ZONED_ROOMS) {
      this.#settings.put(roomKey("demo", room), encodeJson({ zone: ZONE }), 0, () => {});
    }
    for (let i = Math.ceil(world.between(1, 8)); i > 0; i--) {
      this.clients.push(new SimRoomClient(`c${i}`, world.chance(0.7), this));
    }
  }

  async startNode(): Promise<void> {
    const faults = { drops: 0, blind: this.#blind };
    const options = { faults, small: this.world.chance(0.7) };
    this.nodes.push(await SimNode.start(this.world, this.stream, this.#settings, options));
  }

  publish(priority = this.#priority()): void {
    const kind = this.world.between(0, 10);
    const room = this.world.pick(ROOMS) ?? "a";
    if (kind < 8) this.stream.publish({ kind: "room", app: "demo", id: room }, priority);
    else if (kind < 9) this.stream.publish({ kind: "zone", app: "demo", id: ZONE }, priority);
    else this.stream.publish({ kind: "all", app: "demo" }, priority);
  }

  publishEverywhere(): void {
    const rooms = ROOMS.map((id): Channel => ({ kind: "room", app: "demo", id }));
    const others: Channel[] = [
      { kind: "zone", app: "demo", id: ZONE },
      { kind: "all", app: "demo" },
    ];
    for (const channel of [...rooms, ...others]) {
      this.stream.publish(channel, Message_Priority.NORMAL);
    }
  }

  #priority(): Message_Priority {
    if (this.world.chance(0.2)) return Message_Priority.LOW;
    return this.world.chance(0.1) ? Message_Priority.HIGH : Message_Priority.NORMAL;
  }
}
