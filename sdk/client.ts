import type {
  Error as ErrorFrame,
  ServerFrame,
  Skipped,
} from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type Decompressors, encodingsOf, platformDecompressors } from "./batches.ts";
import { type Business, BusinessChannel } from "./business.ts";
import { Connection } from "./connection.ts";
import type { ConnectionState, Session } from "./connection-state.ts";
import { Deliveries } from "./deliveries.ts";
import { Emitter, type Handler } from "./emitter.ts";
import type { ClientBody } from "./encoding.ts";
import { HoldfastSdkError } from "./error.ts";
import type { FrameBody } from "./link-set.ts";
import { type Message, messageOf, messagesOfBatch } from "./message.ts";
import type { ResolvedOptions } from "./options.ts";
import { SavedPlaces } from "./positions.ts";
import { Requests } from "./requests.ts";
import type { Gap, Room } from "./room.ts";
import { Rooms } from "./rooms.ts";
import { SavedPosition } from "./saved-position.ts";
import { Standings } from "./standings.ts";
import { type Status, statusChanged, statusOf } from "./status.ts";
import type { Surroundings } from "./surroundings.ts";

/** Of a login. */
const MOST_BUSINESSES = 16;

export interface ClientEvents {
  status: Status;
  /** Every message, of whichever business. */
  message: Message;
  /**
   * Messages of a room, a zone, or, without either, broadcasts, that this client missed and that cannot be
   * had any more, or that were left out because it was too slow.
   */
  gap: Gap & { room: string | undefined; zone: string | undefined };
  /** A ping was answered: how long that took, and how long until the next one. */
  heartbeat: { rttMs: number; intervalMs: number };
  /** A handler failed, or the gateway refused something that no call waits for. */
  error: unknown;
  /** Every frame, for debugging. */
  frame: { direction: "in" | "out"; body: FrameBody; bytes: number };
}

/** A device's connection to the gateway, kept until `close`. */
export class HoldfastClient {
  readonly #events = new Emitter<ClientEvents>();
  readonly #businesses = new Map<string, BusinessChannel>();
  readonly #connection: Connection;
  readonly #requests: Requests;
  readonly #rooms: Rooms;
  readonly #standings = new Standings();
  readonly #saved: SavedPlaces | undefined;
  #decompressors: Decompressors = {};
  readonly #deliveries: Deliveries;
  readonly #options: ResolvedOptions;
  readonly #surroundings: Surroundings;
  /** Of the newest login. */
  #loginNumber = 0;
  /** The connection that the next login continues. */
  #lastConnectionId = "";

  constructor(options: ResolvedOptions, surroundings: Surroundings) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#connection = new Connection({
      ...options,
      surroundings,
      login: (token) => this.#login(token),
      listener: {
        stateChanged: (before, state) => this.#stateChanged(before, state),
        online: (session) => this.#online(session),
        offline: () => this.#rooms.offline(),
        frame: (frame) => this.#receive(frame),
        beat: (rttMs, intervalMs) => this.#emit("heartbeat", { rttMs, intervalMs }),
        traced: (direction, body, bytes) => this.#emit("frame", { direction, body, bytes }),
      },
    });
    const send = (body: ClientBody) => this.#connection.send(body);
    this.#requests = new Requests(surroundings, send);
    this.#rooms = new Rooms(send, (handling) => this.#watch(handling));
    const acknowledge = (deliverySequence: bigint) => {
      send({ case: "ack", value: { deliverySequence } });
    };
    const store = options.deliveries;
    const position =
      store && new SavedPosition(store, acknowledge, (error) => this.#emit("error", error));
    this.#deliveries = new Deliveries(0n, (sequence) =>
      position === undefined ? acknowledge(sequence) : position.save(sequence),
    );
    const { positions } = options;
    this.#saved =
      positions &&
      new SavedPlaces({
        store: positions,
        places: () => ({ rooms: this.#rooms.places, standings: this.#standings.places }),
        after: (ms, fire) => surroundings.after(ms, fire),
        failed: (error) => this.#emit("error", error),
      });
    // Later, so that handlers registered right after `connect` hear of everything.
    queueMicrotask(() => void this.#start(position));
  }

  get status(): Status {
    return statusOf(this.#connection.state);
  }

  /**
   * Returns the function that removes the handler again. Register handlers right after `connect`,
   * before anything is awaited: what comes while nobody listens is gone.
   */
  on<Name extends keyof ClientEvents>(
    name: Name,
    handler: Handler<ClientEvents[Name]>,
  ): () => void {
    return this.#events.on(name, handler);
  }

  /** One of the businesses on this connection. The same object for the same name. */
  business(name: string): Business {
    let business = this.#businesses.get(name);
    if (business === undefined) {
      business = new BusinessChannel(name, this.#requests);
      this.#businesses.set(name, business);
    }
    return business;
  }

  /**
   * Joins a room and stays in it, over reconnects too, until `leave`. Resolves when this client is
   * in it; rejects with `refused` when it may not be.
   */
  join(room: string): Promise<Room> {
    const { state } = this.#connection;
    return state.name === "closed" ? Promise.reject(state.cause) : this.#rooms.join(room);
  }

  /** Logs out. Resolves when the connection has ended; the client cannot be used again. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(position: SavedPosition | undefined): Promise<void> {
    if (position !== undefined) this.#deliveries.restore(await position.load());
    if (this.#options.compression) this.#decompressors = await platformDecompressors();
    if (this.#saved !== undefined) {
      const { rooms, standings } = await this.#saved.load();
      this.#rooms.restore(rooms);
      for (const [zone, place] of standings) this.#standings.places.set(zone, place);
    }
    this.#connection.start();
  }

  #login(token: string): ClientBody {
    const connectionId = this.#lastConnectionId;
    const rooms = connectionId === "" ? [] : this.#rooms.resume();
    const standings = this.#standings.resume();
    // Without a connection before this one there may still be an earlier run of the application.
    const resumes = connectionId !== "" || standings.length > 0;
    const resume = resumes ? { resume: { connectionId, rooms, standings } } : {};
    const { client } = this.#options;
    const { handledUpTo: lastDeliverySequence } = this.#deliveries;
    const encodings = encodingsOf(this.#decompressors);
    // Those that were asked for by now. Their servers hear that this device is online.
    const businesses = [...this.#businesses.keys()].slice(0, MOST_BUSINESSES);
    // The time, so that it goes on growing when the application is started again.
    this.#loginNumber = Math.max(this.#loginNumber + 1, this.#surroundings.now());
    const loginNumber = BigInt(this.#loginNumber);
    return {
      case: "login",
      value: {
        token,
        client,
        lastDeliverySequence,
        businesses,
        loginNumber,
        encodings,
        ...resume,
      },
    };
  }

  #stateChanged(before: ConnectionState, state: ConnectionState): void {
    if (state.name === "online") this.#lastConnectionId = state.session.connectionId;
    if (state.name === "closed") {
      this.#saved?.flush();
      this.#requests.close(state.cause);
      this.#rooms.close(state.cause);
    }
    if (statusChanged(before, state)) this.#emit("status", statusOf(state));
  }

  #online(session: Session): void {
    this.#rooms.online(session);
    this.#requests.online();
  }

  #receive({ body }: ServerFrame): void {
    switch (body.case) {
      case "push":
        if (body.value.message !== undefined) this.#message(messageOf(body.value.message));
        return;
      case "batch":
        for (const message of messagesOfBatch(body.value, this.#decompressors)) {
          this.#message(messageOf(message));
        }
        return;
      case "uplinkAck":
        this.#requests.acknowledged(body.value);
        return;
      case "uplinkReply":
        this.#requests.replied(body.value);
        return;
      case "joined":
        this.#gap(this.#rooms.joined(body.value), body.value.room, "");
        this.#saved?.changed();
        return;
      case "standing":
        this.#gap(this.#standings.stands(body.value), "", body.value.zone);
        this.#saved?.changed();
        return;
      case "skipped":
        this.#skipped(body.value);
        return;
      case "left":
        this.#rooms.left(body.value);
        return;
      case "error":
        this.#refused(body.value);
        return;
    }
  }

  #skipped({ room, zone, after, upTo, count }: Skipped): void {
    const gap = { after, upTo, count };
    this.#gap(room === "" ? gap : this.#rooms.gap(room, gap), room, zone);
  }

  #gap(gap: Gap | undefined, room: string, zone: string): void {
    if (gap === undefined) return;
    this.#emit("gap", { ...gap, room: room || undefined, zone: zone || undefined });
  }

  /** Whether it has not come before, by this link or another. */
  #isNew(message: Message): boolean {
    if (message.position === 0n) return true;
    this.#saved?.changed();
    return message.room === undefined ? this.#standings.take(message) : this.#rooms.take(message);
  }

  #message(message: Message): void {
    if (!this.#isNew(message)) return;
    const { deliverySequence } = message;
    const handle = () => this.#hand(message);
    this.#watch(
      deliverySequence > 0n ? this.#deliveries.offer(deliverySequence, handle) : handle(),
    );
  }

  /** To the application: the room, the business, and whoever listens to everything. */
  #hand(message: Message): Promise<void> | undefined {
    const pending = [
      this.#rooms.message(message),
      this.#businesses.get(message.business)?.events.emit("message", message),
      this.#events.emit("message", message),
    ].filter((handling) => handling !== undefined);
    return pending.length === 0 ? undefined : Promise.all(pending).then(() => {});
  }

  #refused(error: ErrorFrame): void {
    if (error.requestId !== "") this.#requests.refused(error);
    else if (error.room !== "") this.#rooms.refused(error);
    else {
      const { code: closeCode, reason } = error;
      this.#emit("error", new HoldfastSdkError("refused", reason, { closeCode }));
    }
  }

  #emit<Name extends keyof ClientEvents>(name: Name, value: ClientEvents[Name]): void {
    this.#watch(this.#events.emit(name, value));
  }

  /** Failures of handlers go to the "error" handlers; without any, to the platform. */
  #watch(handling: Promise<void> | undefined): void {
    handling?.catch(async (failure) => {
      if (!this.#events.has("error")) throw failure;
      await this.#events.emit("error", failure);
    });
  }
}
