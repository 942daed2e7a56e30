/**
 * One connection: its state, what the log and the rooms know of it, and the way out to its client.
 * There may be tens of thousands, so it holds fields and no closures; what it does with frames is
 * in the files beside it.
 */
import type { SetRooms } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Client } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { refilled, type TokenBucket } from "../../clock/token-bucket.ts";
import type { WheelEntry } from "../../clock/wheel.ts";
import type { CloseReason, EndReason, SilentEnd } from "../../status/close.ts";
import type { Transport, TransportHandlers } from "../../transport/transport.ts";
import type { BatchEncoding } from "../../wire/batch-frame.ts";
import { decodeClientFrame } from "../../wire/codec.ts";
import type { SharedFrame } from "../../wire/shared-frame.ts";
import { ProtocolViolation } from "../../wire/violation.ts";
import type { LoggedConnection } from "../log/connection-log.ts";
import type { Member, RoomSession } from "../rooms/member.ts";
import type { Parcel } from "../rooms/parcel.ts";
import type { SessionServices } from "../services.ts";
import type { Dialogue } from "../uplink/dialogue.ts";
import { type Ending, ending } from "./close-frame.ts";
import { nextDeadline, passedDeadline } from "./deadlines.ts";
import { handleFrame } from "./frames.ts";
import { admittance, Outbox } from "./outbox.ts";
import { Priority } from "./priority.ts";
import { allows, isLoggedIn, next, type SessionEvent, type SessionState } from "./session-state.ts";

const NO_ROOMS: readonly string[] = [];
/** Shared by all that have none, and never changed. */
const NO_BUSINESSES: string[] = [];

export class Session implements LoggedConnection, RoomSession, TransportHandlers, WheelEntry {
  readonly services: SessionServices;
  readonly transport: Transport;
  readonly counter: number;
  state: SessionState = "awaiting-login";

  // From the token, once it is verified.
  app = "";
  device = "";
  user = "";
  partition = 0;
  client: Client | undefined = undefined;
  businesses = NO_BUSINESSES;
  openedAtMs = 0;
  loginNumber = 0;
  handledSequence = 0;
  tokenExpiresAtMs = 0;
  /** By which its token can be revoked. */
  tokenId = "";
  tokenIssuedAtMs = 0;
  /** Whether the log was told of it, and so has to be told of its end. */
  logged = false;

  // See RoomSession.
  rooms = NO_ROOMS;
  members: Member[] = [];
  askingJoins: TokenBucket | undefined = undefined;
  batching: BatchEncoding | undefined = undefined;
  /** What it has going with each business; undefined until its first uplink. */
  dialogues: Map<string, Dialogue> | undefined = undefined;
  /** The one of its last uplink: found without hashing the business's name, which came from the wire. */
  lastDialogue: Dialogue | undefined = undefined;

  // Deadlines, on the wheel's clock.
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;
  /** When it came, and then when its Login did. */
  waitingSinceMs: number;
  heardAtMs: number;
  /** Silence beyond this is the end. */
  idleMs: number;
  /** When a drain closes it. */
  drainedAtMs: number | undefined = undefined;
  /** When it is closed because its device has another connection. */
  replacedAtMs: number | undefined = undefined;

  /** Orders of businesses that came while it was logging in. */
  ordered: SetRooms[] | undefined = undefined;
  #throughDoor = false;
  #outbox: Outbox | undefined = undefined;
  #frameTokens: number;

  constructor(transport: Transport, counter: number, services: SessionServices) {
    const { wheel, limits } = services;
    this.services = services;
    this.transport = transport;
    this.counter = counter;
    this.waitingSinceMs = wheel.now;
    this.heardAtMs = wheel.now;
    this.idleMs = limits.heartbeatMs * limits.idleHeartbeats;
    this.#frameTokens = limits.frameRate.burst;
    wheel.schedule(this, limits.loginTimeoutMs);
  }

  get address(): string {
    return this.transport.address;
  }

  /** Takes the event, or says that it does not happen in this state. */
  advance(event: SessionEvent): boolean {
    const state = next(this.state, event);
    if (state === undefined) return false;
    this.state = state;
    return true;
  }

  // What the transport tells.

  received(data: Uint8Array): void {
    try {
      this.#receive(data);
    } catch (error) {
      if (error instanceof ProtocolViolation) this.violated(error);
      else this.fault(error);
    }
  }

  probed(): void {
    this.#heard();
  }

  violated(violation: ProtocolViolation): void {
    this.end(violation.reason, violation.message);
  }

  /** A message that is only too long breaks our rule as well, and its client is told which. */
  broken({ reason, message }: ProtocolViolation): void {
    this.#finish(reason);
    if (reason !== "frame-too-large") return;
    const { random } = this.services;
    this.#write(ending(reason, { detail: message, random }).frame);
  }

  drained(): void {
    this.#emptyOutbox();
    if (this.clear && isLoggedIn(this.state)) this.services.rooms.drained(this);
  }

  closed(end: Exclude<SilentEnd, "node-down">): void {
    const { metrics, doorway } = this.services;
    metrics.connections -= 1;
    this.#finish(end);
    doorway.throughLeaving();
  }

  // What the node does with it.

  /** A frame of the protocol's own: it overtakes messages. */
  send(frame: SharedFrame): void {
    this.deliver(frame, Priority.CONTROL);
  }

  /** A fault here costs this connection, and none of the others that get the frame. */
  deliver(frame: SharedFrame, priority: Priority): void {
    try {
      if (this.#outbox === undefined && this.transport.writable) this.#write(frame);
      else if (this.state !== "closed") this.#hold(frame, priority);
    } catch (error) {
      this.fault(error);
    }
  }

  get clear(): boolean {
    return this.#outbox === undefined && this.transport.writable;
  }

  give(parcel: Parcel): void {
    const { metrics } = this.services;
    const frames = parcel.frames(this.batching);
    for (const frame of frames) {
      metrics.framesOut += 1;
      metrics.bytesOut += this.transport.sizeOf(frame);
    }
    this.transport.sendNow(frames);
  }

  roomsChanged(): void {
    this.services.log.roomsChanged(this);
  }

  /** Ends the connection and says why. Does nothing when it is over already. */
  end(reason: CloseReason, detail?: string): void {
    if (this.state === "closed") return;
    this.#endWith(reason, ending(reason, { detail, random: this.services.random }));
  }

  /** Ends the connection: too many are coming in, and this client has its turn later. */
  turnAway(): void {
    if (this.state === "closed") return;
    const { random, doorway } = this.services;
    const afterMs = doorway.nextSlotMs();
    this.#endWith("overloaded", ending("overloaded", { afterMs, random }));
  }

  /** It does not count any more among those who are coming in. */
  passDoor(): void {
    if (this.#throughDoor) return;
    this.#throughDoor = true;
    this.services.doorway.through();
  }

  #endWith(reason: CloseReason, { code, text, frame }: Ending): void {
    this.#finish(reason);
    this.#write(frame);
    this.transport.close(code, text);
  }

  /** Something was thrown that nobody expected. */
  fault(error: unknown): void {
    const { metrics, logger } = this.services;
    metrics.faults += 1;
    logger.error({ err: error, app: this.app, device: this.device }, "a fault cost a connection");
    this.end("internal");
  }

  // Deadlines.

  due(): void {
    const reason = passedDeadline(this);
    if (reason === undefined) this.reschedule();
    else if (reason === "overloaded") this.turnAway();
    else this.end(reason);
  }

  /** Call it when a deadline has come nearer; that one has moved away is found out when it is due. */
  reschedule(): void {
    this.services.wheel.schedule(this, nextDeadline(this));
  }

  #receive(data: Uint8Array): void {
    const { metrics } = this.services;
    metrics.framesIn += 1;
    metrics.bytesIn += data.byteLength;
    if (this.state === "closed" || !this.#heard()) return;
    const body = decodeClientFrame(data, this.transport.encoding);
    if (!allows(this.state, body.case)) {
      throw new ProtocolViolation("not-allowed", `${body.case} while ${this.state}`);
    }
    handleFrame(this, body);
  }

  /** Counts a frame. @returns false when there were too many, and the connection is over. */
  #heard(): boolean {
    const { wheel, limits } = this.services;
    const now = wheel.now;
    this.#frameTokens = refilled(this.#frameTokens, now - this.heardAtMs, limits.frameRate) - 1;
    this.heardAtMs = now;
    if (this.#frameTokens >= 0) return true;
    this.end("rate-limited", `at most ${limits.frameRate.perSecond} frames a second`);
    return false;
  }

  #emptyOutbox(): void {
    const { transport } = this;
    while (this.#outbox !== undefined && transport.writable) {
      const frame = this.#outbox.shift(transport);
      if (frame === undefined) this.#outbox = undefined;
      else this.#write(frame);
    }
  }

  #write(frame: SharedFrame): void {
    const { metrics } = this.services;
    metrics.framesOut += 1;
    metrics.bytesOut += this.transport.sizeOf(frame);
    this.transport.send(frame);
  }

  #hold(frame: SharedFrame, priority: Priority): void {
    const { limits, metrics } = this.services;
    const bytes = this.transport.sizeOf(frame);
    const waiting = this.transport.buffered + (this.#outbox?.bytes ?? 0);
    switch (admittance(waiting, bytes, priority, limits)) {
      case "keep":
        this.#outbox ??= new Outbox();
        this.#outbox.push(frame, priority, bytes);
        break;
      case "drop":
        metrics.dropped += 1;
        break;
      case "overflow":
        this.end("slow-consumer", `${waiting + bytes} bytes were waiting`);
        break;
    }
  }

  /** The one way to the end, whoever wants it: everything that knows the session lets go of it. */
  #finish(reason: EndReason): void {
    const wasLoggedIn = isLoggedIn(this.state);
    if (!this.advance("end")) return;
    const { wheel, table, rooms, log, acks, metrics, logger } = this.services;
    wheel.remove(this);
    table.delete(this);
    this.passDoor();
    this.#outbox = undefined;
    metrics.ends[reason] += 1;
    try {
      if (wasLoggedIn) {
        metrics.sessions -= 1;
        rooms.exit(this);
      }
      acks.closed(this);
      // With the rooms it had: the log accounts for them.
      if (this.logged) log.closed(this, reason);
    } catch (error) {
      metrics.faults += 1;
      logger.error({ err: error, app: this.app, device: this.device }, "a fault at the end");
    }
  }
}
