import { fromBinary } from "@bufbuild/protobuf";
import type { Member, RoomSession } from "../../../internal/access/rooms/member.ts";
import type { Parcel } from "../../../internal/access/rooms/parcel.ts";
import type { SessionState } from "../../../internal/access/session/session-state.ts";
import type { TokenBucket } from "../../../internal/clock/token-bucket.ts";
import type { BatchEncoding } from "../../../internal/wire/batch-frame.ts";
import type { SharedFrame } from "../../../internal/wire/shared-frame.ts";
import {
  type ServerFrame,
  ServerFrameSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { World } from "../world.ts";
import type { SimNode } from "./node.ts";

/** What fits into the buffers between a session and its client. */
const SOCKET_BYTES = 1_500;

/** A session with a socket that the client reads at its own pace. */
export class SimSession implements RoomSession {
  readonly app = "demo";
  state: SessionState = "active";
  rooms: readonly string[] = [];
  members: Member[] = [];
  readonly batching: BatchEncoding | undefined;
  askingJoins: TokenBucket | undefined = undefined;
  readonly node: SimNode;
  readonly transport = { buffered: 0 };
  /** Told of each frame the client reads; undefined: the link has ended. */
  onFrame: (frame: ServerFrame | undefined) => void = () => {};
  /** ms for each frame. */
  pace = 1;
  readonly #world: World;
  readonly #queue: Uint8Array[] = [];
  #reading = false;
  #writable = true;

  constructor(world: World, node: SimNode, batching: BatchEncoding | undefined) {
    this.#world = world;
    this.node = node;
    this.batching = batching;
    node.sessions.add(this);
  }

  get clear(): boolean {
    return this.#writable;
  }

  give(parcel: Parcel): void {
    for (const frame of parcel.frames(this.batching)) this.send(frame);
  }

  send(frame: SharedFrame): void {
    if (this.state === "closed") return;
    this.#queue.push(frame.binary);
    this.transport.buffered += frame.binary.byteLength;
    this.#writable = this.transport.buffered < SOCKET_BYTES;
    this.#readSoon();
  }

  end(): void {
    this.cut();
  }

  fault(error: unknown): void {
    throw error;
  }

  roomsChanged(): void {}

  /** The link breaks: what is on its way is lost. */
  cut(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#queue.length = 0;
    this.node.sessions.delete(this);
    this.node.rooms.exit(this);
    this.#world.after(1, () => this.onFrame(undefined));
  }

  #readSoon(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#world.after(this.pace * this.#world.between(0.5, 1.5), () => {
      this.#reading = false;
      this.#read();
    });
  }

  #read(): void {
    const bytes = this.#queue.shift();
    if (bytes === undefined || this.state === "closed") return;
    this.transport.buffered -= bytes.byteLength;
    this.onFrame(fromBinary(ServerFrameSchema, bytes));
    if (this.#queue.length > 0) {
      this.#readSoon();
    } else if (!this.#writable && this.node.alive) {
      this.#writable = true;
      this.node.rooms.drained(this);
    }
  }
}
