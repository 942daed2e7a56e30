import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test } from "vitest";
import type {
  Entry,
  Link,
  LogHandler,
  LogReader,
  PutOutcome,
} from "../../internal/bus/contract.ts";
import { LinedAppender } from "../../internal/bus/keyed-appender.ts";
import type { Heartbeat } from "../../internal/projector/heartbeat.ts";
import { Projector } from "../../internal/projector/service.ts";
import {
  BeatSchema,
  type ProjectorBeat,
  ProjectorBeatSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { decodeJson, type Ownership } from "../../streams/records.ts";
import { nodeBeatSubject, PROJECTOR_BEAT_SUBJECT } from "../../streams/subjects.ts";
import { FakeAppender } from "../access/fakes.ts";
import { quietLogger } from "../support/logger.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { connection } from "./fold-support.ts";

/** What all projectors share. */
class Cluster {
  readonly messages = new MemoryMessages();
  readonly buckets = {
    route: new LeaderBucket(this),
    user: new LeaderBucket(this),
    lease: new LeaderBucket(this),
    checkpoint: new LeaderBucket(this),
    snapshot: new LeaderBucket(this),
  };
  electing = false;

  owner(partition: number): string {
    const value = this.buckets.lease.entries.get(String(partition))?.value;
    return value === undefined ? "" : decodeJson<Ownership>(value).owner;
  }
}

class LeaderBucket extends MemoryBucket {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    super();
    this.#cluster = cluster;
  }

  override latest(key: string): Promise<Entry | undefined> {
    return this.#cluster.electing ? Promise.reject(new Error("no leader")) : super.latest(key);
  }

  override put(
    key: string,
    value: Uint8Array,
    expected: number,
    done: (outcome: PutOutcome) => void,
  ): void {
    if (this.#cluster.electing) queueMicrotask(() => done({ kind: "unknown" }));
    else super.put(key, value, expected, done);
  }
}

class FakeLink implements Link {
  connected = true;
  #changed: (connected: boolean) => void = () => {};

  watch(changed: (connected: boolean) => void) {
    this.#changed = changed;
    return { stop() {} };
  }

  set(connected: boolean): void {
    this.connected = connected;
    this.#changed(connected);
  }
}

class HeldAppender extends FakeAppender {
  forget(): void {}

  held = false;
  readonly subjects: string[] = [];

  override appendFirst(subject?: string): void {
    if (subject !== undefined) this.subjects.push(subject);
  }

  override hold(): void {
    this.held = true;
  }

  override release(): void {
    this.held = false;
  }
}

/** A projector process, whose time passes only when told to. */
class Process {
  readonly clock = new VirtualClock();
  readonly link = new FakeLink();
  readonly appender = new HeldAppender();
  readonly state = new HeldAppender();
  readonly projector: Projector;
  /** By partition: who reads its log. */
  readonly logs = new Map<number, LogHandler>();
  readonly failing = new Set<number>();
  beat: Uint8Array | undefined;

  constructor(id: string, cluster: Cluster, partitions: number) {
    const heartbeat: Heartbeat = {
      say: (beat) => {
        this.beat = beat;
        cluster.messages.publish(PROJECTOR_BEAT_SUBJECT, beat);
      },
      moved() {},
    };
    const reader: LogReader = {
      read: (partition, _after, handler) => {
        this.logs.set(partition, handler);
        return { stop() {}, pause() {}, resume() {} };
      },
      lastSequence: (partition) =>
        this.failing.has(partition) ? Promise.reject(new Error("it fails")) : Promise.resolve(0),
      holds: async () => true,
    };
    this.projector = new Projector({
      id,
      partitions,
      clock: this.clock,
      log: quietLogger,
      appender: this.appender,
      state: new LinedAppender(this.state),
      held: [this.state],
      reader,
      buckets: cluster.buckets,
      delivery: {
        mailbox: {
          put() {},
          forget() {},
          list: async function* () {},
          load: async () => new Map(),
          purge: async () => {},
        },
        receipts: { write() {}, read: async () => [] },
        marks: new MemoryBucket(),
      },
      messages: cluster.messages,
      link: this.link,
      heartbeat,
    });
  }

  get says(): ProjectorBeat {
    return fromBinary(ProjectorBeatSchema, this.beat ?? new Uint8Array());
  }

  get owned(): number[] {
    return this.projector.owned.map(({ partition }) => partition);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

let cluster: Cluster;

beforeEach(() => {
  cluster = new Cluster();
});

/** Time passes for these; all others are silent. */
async function pass(ms: number, ...processes: Process[]): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    for (const { clock, beat } of processes) {
      if (passed % 1_000 === 0 && beat) cluster.messages.publish(PROJECTOR_BEAT_SUBJECT, beat);
      clock.advance(250);
    }
    await turn();
  }
}

async function started(id: string, partitions = 4): Promise<Process> {
  const process = new Process(id, cluster, partitions);
  await process.projector.start();
  return process;
}

describe("a projector", () => {
  test("that is alone owns everything, and a second one gets its share", async () => {
    const a = await started("a-1");
    await pass(2_000, a);
    expect([a.owned, a.projector.ready]).toEqual([[0, 1, 2, 3], true]);
    const b = await started("b-1");
    await pass(6_000, a, b);
    expect([a.owned.length, b.owned.length]).toEqual([2, 2]);
    expect([a.projector.ready, b.projector.ready]).toEqual([true, true]);
  });

  test("that is not heard any more is taken from within ten seconds", async () => {
    const a = await started("a-1");
    await pass(2_000, a);
    const b = await started("b-1");
    await pass(10_000, b);
    expect(b.owned).toEqual([0, 1, 2, 3]);
  });

  test("that ends is taken from at once", async () => {
    const a = await started("a-1");
    const b = await started("b-1");
    await pass(6_000, a, b);
    const ended = a.projector[Symbol.asyncDispose]();
    await pass(1_000, a, b);
    await ended;
    expect(b.owned).toEqual([0, 1, 2, 3]);
  });

  test("that hears not even itself takes nothing", async () => {
    const a = await started("a-1");
    await turn();
    a.beat = undefined;
    for (let i = 0; i < 3; i++) {
      a.clock.stall(3_000);
      a.clock.advance(1);
      await turn();
    }
    expect([a.owned, cluster.owner(0)]).toEqual([[], ""]);
  });
});

describe("an owner", () => {
  test("goes on through an election, and nothing is loaded again", async () => {
    const a = await started("a-1");
    const b = await started("b-1");
    await pass(6_000, a, b);
    const before = { ...a.projector.ownership };
    cluster.electing = true;
    const [partition = 0] = a.owned;
    a.logs.get(partition)?.record(1, connectedRecord("n-1"), 1);
    await pass(9_000, a, b);
    cluster.electing = false;
    await pass(3_000, a, b);
    expect(a.projector.ownership).toEqual(before);
    expect([a.owned.length, a.projector.backlog]).toEqual([2, 0]);
    expect(cluster.buckets.route.entries.size).toBe(1);
  });

  test("whose link was broken writes nothing before it has read the records again", async () => {
    const a = await started("a-1");
    await pass(2_000, a);
    a.link.set(false);
    expect([a.owned, a.state.held]).toEqual([[], true]);
    cluster.electing = true;
    a.link.set(true);
    await pass(2_000, a);
    expect([a.owned, a.state.held]).toEqual([[], true]);
    cluster.electing = false;
    await pass(1_000, a);
    expect([a.owned, a.state.held]).toEqual([[0, 1, 2, 3], false]);
    expect(a.projector.ownership).toEqual({ ownershipChanges: 4, loads: 4, ownerFailures: 0 });
  });

  test("that was frozen notices before it writes, whatever it handles first", async () => {
    const a = await started("a-1");
    await pass(2_000, a);
    a.clock.stall(60_000);
    expect(a.owned).toEqual([]);
    await turn();
    expect(a.owned).toEqual([0, 1, 2, 3]);
  });

  test("that keeps failing gives its partition to another, and says that it declines it", async () => {
    const a = await started("a-1");
    const b = new Process("b-1", cluster, 4);
    b.failing.add(0).add(1).add(2).add(3);
    await b.projector.start();
    await pass(30_000, a, b);
    expect(a.owned).toEqual([0, 1, 2, 3]);
    expect(b.says.declined.length).toBeGreaterThan(0);
    expect(b.projector.ownership.ownerFailures).toBeGreaterThanOrEqual(5);
  });

  test("that fails for a while is tried again, since nobody else is there", async () => {
    const a = new Process("a-1", cluster, 2);
    a.failing.add(1);
    await a.projector.start();
    await pass(30_000, a);
    expect([a.owned, a.says.declined]).toEqual([[0], [1]]);
    a.failing.clear();
    await pass(10_000, a);
    expect(a.owned).toEqual([0, 1]);
  });
});

describe("a node that is silent", () => {
  async function watched(): Promise<Process> {
    const a = await started("a-1", 1);
    await pass(2_000, a);
    a.logs.get(0)?.record(1, connectedRecord("n-1"), 1);
    const beat = toBinary(BeatSchema, create(BeatSchema, { incarnation: "n-1" }));
    cluster.messages.publish(nodeBeatSubject("n-1"), beat);
    await turn();
    return a;
  }

  const deaths = ({ appender }: Process) =>
    appender.subjects.filter((subject) => subject.includes(".node-down."));

  test("is declared dead after some seconds", async () => {
    const a = await watched();
    await pass(4_000, a);
    expect(deaths(a)).toEqual([]);
    await pass(3_000, a);
    expect(deaths(a)).toHaveLength(1);
  });

  test("is not declared dead by a projector that gets no time itself", async () => {
    const a = await watched();
    for (let i = 0; i < 6; i++) {
      a.clock.stall(10_000);
      await pass(1_000, a);
    }
    expect(deaths(a)).toEqual([]);
  });
});

function connectedRecord(node: string): Uint8Array {
  const value = { connection: connection({ id: `${node}.1`, device: "d1", rooms: [] }) };
  const events = [{ body: { case: "connected" as const, value } }];
  const body = { case: "events" as const, value: { incarnation: node, events } };
  return toBinary(RecordSchema, create(RecordSchema, { atMs: 1n, number: 1n, body }));
}
