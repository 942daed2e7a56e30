import { isDeepStrictEqual } from "node:util";
import { type Checkpoint, decodeJson, encodeJson, type Route } from "../../streams/records.ts";
import { partitionKey, routeKey } from "../../streams/subjects.ts";
import type { KeyedAppender } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { SharedTurns } from "../clock/shared-turns.ts";
import type { RouteTable } from "./fold/route-table.ts";
import { stateEvents } from "./fold/state-events.ts";
import { KeyWriter, type Permission, type Verdict, type WriteFailure } from "./key-writer.ts";
import type { LogEnd } from "./log-end.ts";
import type { Buckets, StoredPartition } from "./partition-store.ts";
import { Refresh } from "./refresh.ts";
import { StateFeed } from "./state-feed.ts";
import { UserDevices } from "./user-devices.ts";

const WRITE_WINDOW = 1_024;

export interface PartitionWritesOptions extends Permission {
  partition: number;
  /** The projector's id. */
  id: string;
  clock: Clock;
  slices: SharedTurns;
  /** For stream HF_STATE, and nothing else. */
  state: KeyedAppender;
  buckets: Buckets;
  logEnd: LogEnd;
  /** The newest record of the log that was folded. */
  position(): number;
  /** What the table says. */
  routeOf(app: string, device: string): Route | undefined;
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
  readonly #refresh: Refresh;
  #checkpoint = { sequence: 0, read: 0, snapshot: 0 };
  #checkpointing = false;

  constructor(options: PartitionWritesOptions) {
    const { id, state, buckets, clock, allowed, confirmed, failed } = options;
    const writing = { window: WRITE_WINDOW, clock, allowed, confirmed, failed };
    this.#options = options;
    this.#state = new StateFeed(state, () => options.room());
    this.#routes = new KeyWriter<Route>({
      ...writing,
      bucket: buckets.route,
      encode: encodeJson,
      decode: decodeJson,
      judge: (stored, route) => this.#judge(stored, route),
    });
    this.#users = new UserDevices({ ...writing, bucket: buckets.user });
    this.#checkpoints = new KeyWriter<Checkpoint>({
      ...writing,
      bucket: buckets.checkpoint,
      encode: encodeJson,
      decode: decodeJson,
      judge: ({ owner }) => (owner === id ? "write" : "lost"),
    });
    this.#refresh = new Refresh({
      ...options,
      backlog: () => this.backlog,
      each: (route, due) => this.#comeBy(route, due),
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

  /** What the checkpoint says as it is stored. `snapshot`: the generation, 0 for none. */
  get checkpoint(): Readonly<{ sequence: number; read: number; snapshot: number }> {
    return this.#checkpoint;
  }

  /** Grows with every checkpoint, whoever writes it; undefined while it is not known. */
  get revision(): number | undefined {
    return this.#checkpoints.revision(partitionKey(this.#options.partition));
  }

  /** What is stored now, to be replaced by what follows. */
  loaded({ checkpoint, routes, snapshot, deliverAfter, doneUpTo }: StoredPartition): void {
    this.#checkpoints.known(checkpoint.key, checkpoint.revision, checkpoint.value);
    this.#checkpoint = {
      sequence: deliverAfter,
      read: doneUpTo,
      snapshot: snapshot?.ref.generation ?? 0,
    };
    for (const { key, revision, value } of routes) this.#routes.known(key, revision, value);
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

  /** The device is not in the table any more. What it was last is in the buckets. */
  forget(route: Route): void {
    this.#routes.forget(this.#keyOf(route));
    this.#users.forget(route);
  }

  /**
   * Keeps long connections from expiring in the buckets, and puts back what the buckets have lost.
   * Called again and again; each time it goes on for a bit.
   */
  refresh(table: RouteTable): void {
    this.#refresh.tick(table);
  }

  /** Moves the checkpoint once everything before it is stored; one at a time. */
  moveCheckpoint(to: Omit<Checkpoint, "owner">, moved: () => void): void {
    this.#checkpointing = true;
    this.#stored(() => {
      const { id, partition } = this.#options;
      const { sequence, read, snapshot } = to;
      this.#checkpoints.put(partitionKey(partition), { ...to, owner: id });
      this.#checkpoints.flushed(() => {
        this.#checkpoint = { sequence, read, snapshot: snapshot?.generation ?? 0 };
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

  /** A route whose key nobody has looked at since the partition was loaded may be gone from the bucket. */
  #comeBy(route: Route, due: boolean): void {
    // Behind what was told before, since the route may tell of it too.
    if (due || !this.#routes.knows(this.#keyOf(route))) {
      this.#state.tell([], () => this.#writeRoute(route));
    }
    this.#users.put(route);
  }

  #writeRoute(route: Route): void {
    this.#routes.put(this.#keyOf(route), route);
  }

  #keyOf({ app, device }: Route): string {
    return routeKey(this.#options.partition, app, device);
  }

  /**
   * A route says which record made it, so whoever has read on has written the newer one, and a former
   * owner writes nothing over it. One that is newer than what the log says is of records that were lost.
   */
  #judge(stored: Route, route: Route): Verdict | Promise<Verdict> {
    const { partition, position, routeOf, logEnd } = this.#options;
    if (stored.sequence <= route.sequence) {
      return isDeepStrictEqual(stored, route) ? "keep" : "write";
    }
    if (stored.sequence <= position()) {
      const newest = routeOf(route.app, route.device);
      // It waits behind what is to be told of it.
      return newest !== undefined && newest.sequence >= stored.sequence ? "newer" : "write";
    }
    return logEnd.of(partition).then((end) => (end < stored.sequence ? "write" : "wait"));
  }

  /** Calls back when everything up to now is told and written. */
  #stored(done: () => void): void {
    this.#state.tell([], () => this.#routes.flushed(() => this.#users.flushed(done)));
  }
}
