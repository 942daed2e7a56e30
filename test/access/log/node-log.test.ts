import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { LoggedConnection } from "../../../internal/access/log/connection-log.ts";
import { NodeLog, type NodeLogOptions } from "../../../internal/access/log/node-log.ts";
import type { Appender, Stored } from "../../../internal/bus/contract.ts";
import { HoldfastError } from "../../../internal/status/errors.ts";
import {
  BeatSchema,
  OrderAnswerSchema,
  OrderSchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { type Event, RecordSchema } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { logSubject, NODE_BEATS_FILTER, nodeControlSubject } from "../../../streams/subjects.ts";
import { MemoryMessages } from "../../support/memory-messages.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

/** What reached the log, and what waits. */
class HeldAppender implements Appender {
  readonly ready = true;
  readonly stored: string[] = [];
  #waiting: { text: string; stored: Stored | undefined }[] = [];
  #held = false;
  /** What is appended is not stored before `storeAll`. */
  storing = true;
  oldestAgeMs = 0;

  get backlog(): number {
    return this.#waiting.length;
  }

  append(_subject: string, payload: Uint8Array, stored?: Stored): void {
    this.#waiting.push({ text: describeRecord(payload), stored });
    this.#flush();
  }

  appendFirst(): void {
    throw new Error("a node appends nothing of this kind");
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#flush();
  }

  discard(): void {
    this.#waiting = [];
  }

  storeAll(): void {
    this.storing = true;
    this.#flush();
    this.storing = false;
  }

  #flush(): void {
    if (this.#held || !this.storing) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { text, stored } of waiting) {
      this.stored.push(text);
      stored?.(this.stored.length, false);
    }
  }
}

/** Such as "connected 1", "announced 1 2", "digest of 2". */
function describeRecord(payload: Uint8Array): string {
  const { body } = fromBinary(RecordSchema, payload);
  switch (body.case) {
    case "events":
      return body.value.events.map(describeEvent).join(", ");
    case "announced":
      return `announced ${body.value.connections.map(({ id }) => counter(id)).join(" ")}`;
    case "digest":
      return `digest of ${body.value.connections}`;
    default:
      return String(body.case);
  }
}

function describeEvent({ body }: Event): string {
  switch (body.case) {
    case "connected":
      return `connected ${counter(body.value.connection?.id)}`;
    case "disconnected":
      return `disconnected ${counter(body.value.connectionId)} (${body.value.reason})`;
    case "roomsChanged":
      return `rooms ${counter(body.value.connectionId)} [${body.value.rooms}]`;
    default:
      return "nothing";
  }
}

function counter(id: string | undefined): string {
  return id?.slice(id.lastIndexOf(".") + 1) ?? "";
}

function connectionOf(counter: number, rooms: string[] = []): LoggedConnection {
  const about = { counter, app: "demo", device: `d${counter}`, user: "", partition: 0 };
  const openedAtMs = counter;
  const address = "192.0.2.1";
  const numbers = { loginNumber: 0, handledSequence: 0 };
  return { ...about, ...numbers, openedAtMs, client: undefined, address, businesses: [], rooms };
}

let clock: VirtualClock;
let messages: MemoryMessages;
let appender: HeldAppender;
let linked: Set<(connected: boolean) => void>;
let link: { connected: boolean; watch(changed: (connected: boolean) => void): { stop(): void } };
let log: NodeLog;
let incarnations: string[];
let told: string[];
/** What the log says of an incarnation; undefined: nothing. */
let verdict: ((incarnation: string) => boolean) | undefined;
let questions: number;
let beats: { incarnation: string; serving: boolean }[];

beforeEach(async () => {
  clock = new VirtualClock();
  messages = new MemoryMessages();
  appender = new HeldAppender();
  linked = new Set();
  link = {
    connected: true,
    watch(changed) {
      linked.add(changed);
      return { stop: () => void linked.delete(changed) };
    },
  };
  incarnations = [];
  told = [];
  verdict = () => false;
  questions = 0;
  beats = [];
  messages.subscribe(NODE_BEATS_FILTER, (message) =>
    beats.push(fromBinary(BeatSchema, message.data)),
  );
  log = newLog();
  log.start();
  await settled();
  appender.stored.length = 0;
});

function newLog(about: Partial<NodeLogOptions> = {}): NodeLog {
  return new NodeLog({
    name: "n",
    version: "1",
    partitions: 1,
    clock,
    random: () => 0.5,
    appender,
    messages,
    link,
    deaths: {
      isDead: async (incarnation) => {
        questions += 1;
        if (verdict === undefined) throw new HoldfastError("timeout", "no answer");
        return verdict(incarnation);
      },
    },
    isolatedAfterMs: 120_000,
    status: () => ({
      endpoints: [],
      draining: false,
      load: 0,
      retryAfterMs: 0,
      loginsPerSecond: 50,
    }),
    events: {
      incarnationChanged: (incarnation) => incarnations.push(incarnation),
      order: ({ body }) => body.case === "kick" && body.value.connection === 1n,
      isolated: () => told.push("isolated"),
      reunited: () => told.push("reunited"),
    },
    ...about,
  });
}

/** Lets messages on their way arrive. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds * 10; i++) {
    clock.advance(100);
    await settled();
  }
}

function linkIs(connected: boolean): void {
  link.connected = connected;
  for (const changed of linked) changed(connected);
}

function declareDead(incarnation: string): void {
  verdict = (one) => one === incarnation;
  messages.publish(logSubject(0, "node-down", incarnation), new Uint8Array());
}

function announceOrder(partition: number): Uint8Array {
  return toBinary(
    OrderSchema,
    create(OrderSchema, { body: { case: "announce", value: { partition } } }),
  );
}

describe("a node whose log answers", () => {
  test("tells the log of its connections as it happens, and each is told when it is stored", () => {
    const rooms = ["lobby"];
    const connection = connectionOf(1, rooms);
    let welcomed = false;
    log.opened(connection, () => {
      welcomed = true;
    });
    clock.advance(0);
    expect(welcomed).toBe(true);
    rooms.push("chess");
    log.roomsChanged(connection);
    log.closed(connection, "client-closed");
    clock.advance(0);
    expect(appender.stored).toEqual([
      "connected 1",
      "rooms 1 [lobby,chess], disconnected 1 (client-closed)",
    ]);
  });

  test("what ends in one turn goes in one record, and nothing of it overtakes", () => {
    for (let counter = 1; counter <= 3; counter++) log.opened(connectionOf(counter), () => {});
    clock.advance(0);
    log.closed(connectionOf(9), "idle");
    log.acknowledged(0, []);
    clock.advance(0);
    expect(appender.stored).toEqual(["connected 1, connected 2, connected 3", "acked"]);
  });

  test("waits for what this turn has said when it is to wait for the log", async () => {
    log.opened(connectionOf(1), () => {});
    await log.settled();
    expect(appender.stored).toEqual(["connected 1"]);
  });

  test("compares every 30 s", async () => {
    log.opened(connectionOf(1), () => {});
    await pass(60);
    expect(appender.stored.filter((text) => text === "digest of 1")).toHaveLength(2);
  });

  test("announces what it holds when it is told to", async () => {
    log.opened(connectionOf(1), () => {});
    log.opened(connectionOf(2), () => {});
    messages.publish(nodeControlSubject(log.incarnation), announceOrder(0));
    await settled();
    expect(appender.stored.at(-1)).toBe("announced 1 2");
  });

  test("answers whoever gives it an order, truly", async () => {
    const kick = async (connection: bigint) => {
      const order = create(OrderSchema, { body: { case: "kick", value: { connection } } });
      const subject = nodeControlSubject(log.incarnation);
      const answer = await messages.request(subject, toBinary(OrderSchema, order), 10_000);
      return fromBinary(OrderAnswerSchema, answer).taken;
    };
    expect(await kick(1n)).toBe(true);
    expect(await kick(2n)).toBe(false);
  });

  test("serves without any projector, for ever", async () => {
    await pass(300);
    expect(log.serving).toBe(true);
    expect(told).toEqual([]);
    expect(beats.at(-1)).toMatchObject({ incarnation: log.incarnation, serving: true });
  });

  test("takes no logins while the log has not acknowledged a record for 10 s", async () => {
    appender.oldestAgeMs = 9_000;
    expect(log.serving).toBe(true);
    appender.oldestAgeMs = 11_000;
    expect(log.serving).toBe(false);
    await pass(1);
    expect(beats.at(-1)?.serving).toBe(false);
  });
});

describe("a node that cannot know whether it is alive", () => {
  test("does not serve before the log has answered once", async () => {
    verdict = undefined;
    const other = newLog();
    other.start();
    await pass(3);
    expect(other.serving).toBe(false);
    verdict = () => false;
    await pass(1);
    expect(other.serving).toBe(true);
  });

  test("says nothing while it has no link, and asks the log before it goes on", async () => {
    linkIs(false);
    expect(log.serving).toBe(false);
    log.opened(connectionOf(1), () => {});
    await pass(3);
    expect(appender.stored).toEqual([]);
    verdict = undefined;
    linkIs(true);
    await pass(20);
    expect(appender.stored).toEqual([]);
    verdict = () => false;
    await pass(1);
    expect(log.serving).toBe(true);
    expect(appender.stored.slice(0, 2)).toEqual(["connected 1", "digest of 1"]);
  });

  test("sends its clients elsewhere once it had no link for 2 minutes, and no longer when it is back", async () => {
    linkIs(false);
    await pass(119);
    expect(told).toEqual([]);
    await pass(3);
    expect(told).toEqual(["isolated"]);
    linkIs(true);
    expect(told).toEqual(["isolated", "reunited"]);
  });

  test("keeps its clients while the link is up and the log does not answer", async () => {
    verdict = undefined;
    linkIs(false);
    linkIs(true);
    await pass(300);
    expect(log.serving).toBe(false);
    expect(told).toEqual([]);
  });

  test("welcomes nobody for a record that was stored in the name of an incarnation that may be over", async () => {
    appender.storing = false;
    let welcomed = false;
    log.opened(connectionOf(1), () => {
      welcomed = true;
    });
    clock.advance(0);
    clock.stall(20_000);
    appender.storeAll();
    expect(welcomed).toBe(false);
    await pass(1);
    expect(welcomed).toBe(true);
  });
});

describe("a node that was frozen", () => {
  test("says nothing before it has heard whether it is still alive", async () => {
    clock.advance(1_000);
    clock.stall(20_000);
    log.opened(connectionOf(1), () => {});
    expect(log.serving).toBe(false);
    expect(appender.stored).toEqual([]);
    await pass(1);
    expect(appender.stored).toEqual(["connected 1", "digest of 1"]);
  });

  test("does not believe an answer from before", async () => {
    const old = log.incarnation;
    linkIs(false);
    linkIs(true); // asked, and answered in the microtasks that the freeze holds up
    clock.stall(20_000);
    verdict = (incarnation) => incarnation === old;
    await pass(1);
    expect(log.incarnation).not.toBe(old);
  });
});

describe("a node that was declared dead", () => {
  test("hears of it from the record itself, drops what waited, and announces all that is open under a new incarnation", async () => {
    const old = log.incarnation;
    const gone = connectionOf(1);
    log.opened(gone, () => {});
    log.opened(connectionOf(2), () => {});
    appender.stored.length = 0;
    appender.storing = false;
    let welcomed = false;
    log.opened(connectionOf(3), () => {
      welcomed = true;
    });
    log.closed(gone, "client-closed");
    declareDead(old);
    await settled();
    expect(incarnations).toEqual([log.incarnation]);
    expect(log.incarnation).not.toBe(old);
    appender.storeAll();
    expect(appender.stored).toEqual(["announced 2 3"]);
    expect(welcomed).toBe(true);
    expect(beats.at(-1)?.incarnation).toBe(log.incarnation);
  });

  test("finds it out after a break of its link", async () => {
    const old = log.incarnation;
    log.opened(connectionOf(1), () => {});
    linkIs(false);
    verdict = (incarnation) => incarnation === old;
    await pass(3);
    linkIs(true);
    await settled();
    expect(log.incarnation).not.toBe(old);
    expect(appender.stored.at(-1)).toBe("announced 1");
  });

  test("finds it out by itself when the message was lost", async () => {
    const old = log.incarnation;
    verdict = (incarnation) => incarnation === old;
    await pass(35);
    expect(log.incarnation).not.toBe(old);
  });

  test("goes on when the record is not in the log, and looks again until it must be", async () => {
    const old = log.incarnation;
    messages.publish(logSubject(0, "node-down", old), new Uint8Array());
    await settled();
    expect(log.serving).toBe(true);
    verdict = (incarnation) => incarnation === old;
    await pass(3);
    expect(log.incarnation).not.toBe(old);
  });

  test("ignores orders for the connections it had under the old one", async () => {
    const old = log.incarnation;
    declareDead(old);
    await settled();
    expect(messages.listeners(nodeControlSubject(old))).toBe(0);
    expect(messages.listeners(logSubject(0, "node-down", old))).toBe(0);
    expect(messages.listeners(nodeControlSubject(log.incarnation))).toBe(1);
  });

  test("asks no more once it has stopped", async () => {
    log[Symbol.dispose]();
    const before = questions;
    await pass(60);
    expect(questions).toBe(before);
  });
});

describe("an announcement in slices", () => {
  let sliced: NodeLog;
  let connections: LoggedConnection[];

  beforeEach(async () => {
    log[Symbol.dispose]();
    sliced = newLog({ sliceMs: 0 });
    sliced.start();
    await pass(1);
    connections = [1, 2, 3].map((counter) => connectionOf(counter));
    for (const connection of connections) sliced.opened(connection, () => {});
    clock.advance(0);
    appender.stored.length = 0;
    messages.publish(nodeControlSubject(sliced.incarnation), announceOrder(0));
    await settled();
  });

  afterEach(() => sliced[Symbol.dispose]());

  test("has no other record of its partition between its parts", () => {
    expect(appender.stored).toEqual([]);
    // The first is in it, the others are not yet.
    sliced.opened(connectionOf(4), () => {});
    clock.advance(0);
    expect(appender.stored).toEqual(["announced 1 2 3 4"]);
  });

  test("is followed by what happened meanwhile to connections that are in it", () => {
    const rooms: string[] = [];
    const last = connectionOf(6, rooms);
    const [first, second] = connections;
    if (first === undefined || second === undefined) throw new Error("they are not there");
    sliced.opened(last, () => {});
    sliced.closed(first, "client-closed");
    sliced.closed(second, "idle");
    rooms.push("lobby");
    sliced.roomsChanged(last);
    clock.advance(0);
    expect(appender.stored).toEqual(["announced 1 3 6", "disconnected 1 (client-closed)"]);
  });

  test("tells a connection that came meanwhile that it is stored", () => {
    let welcomed = false;
    sliced.opened(connectionOf(7), () => {
      welcomed = true;
    });
    clock.advance(0);
    expect(welcomed).toBe(true);
  });
});
