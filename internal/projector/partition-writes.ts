import { ROUTE_TTL_MS } from "../../streams/layout.ts";
import { type Checkpoint, encodeJson, type Route } from "../../streams/records.ts";
import { partitionKey, routeKey } from "../../streams/subjects.ts";
import type { KeyedAppender } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { RouteTable } from "./fold/route-table.ts";
import { stateEvents } from "./fold/state-events.ts";
import { KeyWriter, type Permission, type WriteFailure } from "./key-writer.ts";
import type { Buckets, StoredPartition } from "./partition-store.ts";
import { StateFeed } from "./state-feed.ts";
import { UserDevices } from "./user-devices.ts";

const WRITE_WINDOW = 1_024;
const DAY_MS = 24 * 60 * 60 * 1_000;
/** Each online device has one of these slots of the day, in which it is written again. */
const REFRESH_SLOT_MS = 10 * 60 * 1_000;
const REFRESH_SLOTS = DAY_MS / REFRESH_SLOT_MS;
/** Longer than the bucket keeps it, since clocks differ. */
const FORGET_OFFLINE_MS = ROUTE_TTL_MS + 60 * 60 * 1_000;

export interface PartitionWritesOptions extends Permission {
  partition: number;
  /** The projector's id. */
  id: string;
  clock: Clock;
  /** For stream HF_STATE, and nothing else. */
  state: KeyedAppender;
  buckets: Buckets;
  /** `crowded` is false again. */
  room(): void;
  /** Nothing may be written any more. */
  failed(why: WriteFailure): void;
}

/**
 * What an owner makes of its partition's log, in the one order that loses nothing when it ends in
 * between: events are told, then the routes written that would tell of them too, then the
 * checkpoint moved that leaves the records behind.
 */
export class PartitionWrites {
  readonly #options: PartitionWritesOptions;
  readonly #state: StateFeed;
  readonly #routes: KeyWriter<Route>;
  readonly #users: UserDevices;
  readonly #checkpoints: KeyWriter<Checkpoint>;
  #checkpointed = 0;
  #checkpointing = false;
  #refreshedSlot = -1;

  constructor(options: PartitionWritesOptions) {
    const { state, buckets, clock, allowed, confirmed, failed } = options;
    const writing = { window: WRITE_WINDOW, clock, allowed, confirmed, failed };
    this.#options = options;
    this.#state = new StateFeed(state, () => options.room());
    this.#routes = new KeyWriter<Route>({
      ...writing,
      bucket: buckets.route,
      encode: encodeJson,
      shared: false,
    });
    this.#users = new UserDevices({ ...writing, bucket: buckets.user });
    this.#checkpoints = new KeyWriter<Checkpoint>({
      ...writing,
      bucket: buckets.checkpoint,
      encode: encodeJson,
      shared: false,
    });
  }

  /** Writes that are not yet acknowledged. */
  get backlog(): number {
    return this.#state.backlog + this.#routes.backlog + this.#users.backlog;
  }

  /** True while so many events wait to be stored that no more records are to be taken. */
  get crowded(): boolean {
    return this.#state.crowded;
  }

  /** Whether the checkpoint is being moved. */
  get checkpointing(): boolean {
    return this.#checkpointing;
  }

  /** Where the checkpoint stands. */
  get checkpointed(): number {
    return this.#checkpointed;
  }

  /** What is stored now, to be replaced by what follows. */
  loaded({ checkpoint, table, routes, users }: StoredPartition): void {
    this.#checkpoints.known(checkpoint.key, checkpoint.revision, checkpoint.value);
    this.#checkpointed = table.position;
    for (const { key, revision, value } of routes) this.#routes.known(key, revision, value);
    for (const { key, revision, value } of users) this.#users.known(key, revision, value);
  }

  /** Tells business servers of it, then writes the route. */
  routeChanged(before: Route | undefined, after: Route): void {
    const events = stateEvents(this.#options.partition, before, after);
    this.#state.tell(events, () => this.#writeRoute(after));
  }

  /** That the user has the device. */
  putUser(route: Route): void {
    this.#users.put(route);
  }

  /** Keeps long connections from expiring in the buckets, and forgets what has expired there. */
  refresh(table: RouteTable): void {
    const now = this.#options.clock.now();
    const slot = Math.floor(now / REFRESH_SLOT_MS) % REFRESH_SLOTS;
    if (slot === this.#refreshedSlot) return;
    this.#refreshedSlot = slot;
    for (const device of table.devices.values()) {
      const { route, hash } = device;
      if (route.online) {
        if (hash % REFRESH_SLOTS === slot) this.#putAgain(route);
      } else if (route.lastSeen < now - FORGET_OFFLINE_MS) {
        table.forget(device);
        this.#routes.forget(routeKey(this.#options.partition, route.app, route.device));
        this.#users.forget(route);
      }
    }
  }

  /** Moves the checkpoint once everything before it is stored; one at a time. */
  moveCheckpoint(to: Omit<Checkpoint, "owner">, moved: () => void): void {
    this.#checkpointing = true;
    this.#stored(() => {
      const { id, partition } = this.#options;
      this.#checkpoints.put(partitionKey(partition), { ...to, owner: id });
      this.#checkpoints.flushed(() => {
        this.#checkpointed = to.sequence;
        this.#checkpointing = false;
        moved();
      });
    });
  }

  /** Writes what waited for permission. */
  resume(): void {
    this.#routes.resume();
    this.#users.resume();
    this.#checkpoints.resume();
  }

  /** Nothing is written any more. */
  close(): void {
    this.#state.close();
    this.#routes.close();
    this.#users.close();
    this.#checkpoints.close();
  }

  /** Behind what was told before, since the route may tell of it too. */
  #putAgain(route: Route): void {
    this.#state.tell([], () => this.#writeRoute(route));
    this.#users.put(route);
  }

  #writeRoute(route: Route): void {
    this.#routes.put(routeKey(this.#options.partition, route.app, route.device), route);
  }

  /** Calls back when everything up to now is told and written. */
  #stored(done: () => void): void {
    this.#state.tell([], () => this.#routes.flushed(() => this.#users.flushed(done)));
  }
}
