import type { Error as ErrorFrame, ServerFrame } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
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
import { Requests } from "./requests.ts";
import type { Room } from "./room.ts";
import { Rooms } from "./rooms.ts";
import { SavedPosition } from "./saved-position.ts";
import { type Status, statusChanged, statusOf } from "./status.ts";
import type { Surroundings } from "./surroundings.ts";

/** Of a login. */
const MOST_BUSINESSES = 16;

export interface ClientEvents {
  status: Status;
  /** Every message, of whichever business. */
  message: Message;
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
    this.#connection.start();
  }

  #login(token: string): ClientBody {
    const connectionId = this.#lastConnectionId;
    const resume =
      connectionId === "" ? {} : { resume: { connectionId, rooms: this.#rooms.resume() } };
    const { client } = this.#options;
    const { handledUpTo: lastDeliverySequence } = this.#deliveries;
    // Those that were asked for by now. Their servers hear that this device is online.
    const businesses = [...this.#businesses.keys()].slice(0, MOST_BUSINESSES);
    // The time, so that it goes on growing when the application is started again.
    this.#loginNumber = Math.max(this.#loginNumber + 1, this.#surroundings.now());
    const loginNumber = BigInt(this.#loginNumber);
    return {
      case: "login",
      value: { token, client, lastDeliverySequence, businesses, loginNumber, ...resume },
    };
  }

  #stateChanged(before: ConnectionState, state: ConnectionState): void {
    if (state.name === "online") this.#lastConnectionId = state.session.connectionId;
    if (state.name === "closed") {
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
        for (const message of messagesOfBatch(body.value)) this.#message(messageOf(message));
        return;
      case "uplinkAck":
        this.#requests.acknowledged(body.value);
        return;
      case "uplinkReply":
        this.#requests.replied(body.value);
        return;
      case "joined":
        this.#rooms.joined(body.value);
        return;
      case "left":
        this.#rooms.left(body.value);
        return;
      case "error":
        this.#refused(body.value);
        return;
    }
  }

  #message(message: Message): void {
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
