import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test } from "vitest";
import type { LoggedConnection } from "../../../internal/access/log/connection-log.ts";
import { NodeLog } from "../../../internal/access/log/node-log.ts";
import type { Appender, Stored } from "../../../internal/bus/contract.ts";
import {
  BeatAnswerSchema,
  BeatSchema,
  OrderSchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { type Event, RecordSchema } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { NODE_BEATS_FILTER, nodeControlSubject } from "../../../streams/subjects.ts";
import { MemoryMessages } from "../../support/memory-messages.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

/** What reached the log, and what waits. */
class HeldAppender implements Appender {
  readonly ready = true;
  readonly stored: string[] = [];
  #waiting: { text: string; stored: Stored | undefined }[] = [];
  #held = false;

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

  #flush(): void {
    if (this.#held) return;
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
let alone: number;
/** What the projector says to a beat; undefined: nothing. */
let verdict: "alive" | "dead" | undefined;
let beats: string[];

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
  alone = 0;
  verdict = "alive";
  beats = [];
  messages.subscribe(NODE_BEATS_FILTER, (message) => {
    const { incarnation } = fromBinary(BeatSchema, message.data);
    beats.push(incarnation);
    if (verdict === undefined) return;
    const dead = verdict === "dead" && incarnation === beats[0];
    message.respond(toBinary(BeatAnswerSchema, create(BeatAnswerSchema, { dead })));
  });
  log = newLog();
  log.start();
  await settled();
  appender.stored.length = 0;
});

function newLog(): NodeLog {
  return new NodeLog({
    name: "n",
    version: "1",
    partitions: 1,
    clock,
    random: () => 0.5,
    appender,
    messages,
    link,
    isolatedAfterMs: 120_000,
    status: () => ({ endpoints: [], draining: false, load: 0 }),
    events: {
      incarnationChanged: (incarnation) => incarnations.push(incarnation),
      order: () => {},
      isolated: () => {
        alone += 1;
      },
    },
  });
}

/** Lets messages on their way arrive. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    clock.advance(1_000);
    await settled();
  }
}

describe("a node that is heard", () => {
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
    const order = create(OrderSchema, { body: { case: "announce", value: { partition: 0 } } });
    messages.publish(nodeControlSubject(log.incarnation), toBinary(OrderSchema, order));
    await settled();
    expect(appender.stored.at(-1)).toBe("announced 1 2");
  });
});

describe("a node that is not heard", () => {
  test("does not serve before the first answer", async () => {
    verdict = undefined;
    const other = newLog();
    other.start();
    await settled();
    expect(other.serving).toBe(false);
  });

  test("takes no logins and appends nothing after 4 s without an answer, and goes on with the next", async () => {
    verdict = undefined;
    await pass(3);
    expect(log.serving).toBe(true);
    await pass(1);
    expect(log.serving).toBe(false);
    log.opened(connectionOf(1), () => {});
    expect(appender.stored).toEqual([]);
    verdict = "alive";
    await pass(1);
    expect(log.serving).toBe(true);
    expect(appender.stored).toEqual(["connected 1", "digest of 1"]);
  });

  test("does not take the server's word that nobody is there for an answer", async () => {
    const deaf = new MemoryMessages();
    messages.subscribe = deaf.subscribe.bind(deaf);
    messages.publish = deaf.publish.bind(deaf);
    const other = newLog();
    other.start();
    await pass(2);
    expect(other.serving).toBe(false);
  });

  test("suspends at once when the connection to the broker is lost", () => {
    link.connected = false;
    for (const changed of linked) changed(false);
    expect(log.serving).toBe(false);
  });

  test("sends its clients elsewhere once it was alone for 2 minutes", async () => {
    verdict = undefined;
    await pass(123);
    expect(alone).toBe(0);
    await pass(5);
    expect(alone).toBe(1);
  });
});

describe("a node that was frozen", () => {
  test("says nothing before it has heard whether it is still alive", async () => {
    // Answered just before, so an old answer may still come in.
    clock.advance(1_000);
    clock.stall(20_000);
    log.opened(connectionOf(1), () => {});
    await settled();
    expect(log.serving).toBe(false);
    expect(appender.stored).toEqual([]);
    await pass(1);
    expect(appender.stored).toEqual(["connected 1", "digest of 1"]);
  });
});

describe("a node that was declared dead", () => {
  test("drops what waited, and announces all that is open under a new incarnation", async () => {
    const old = log.incarnation;
    const gone = connectionOf(1);
    log.opened(gone, () => {});
    log.opened(connectionOf(2), () => {});
    clock.stall(20_000);
    let welcomed = false;
    log.opened(connectionOf(3), () => {
      welcomed = true;
    });
    log.closed(gone, "client-closed");
    appender.stored.length = 0;
    verdict = "dead";
    await pass(1);
    expect(incarnations).toEqual([log.incarnation]);
    expect(log.incarnation).not.toBe(old);
    expect(appender.stored).toEqual(["announced 2 3", "digest of 2"]);
    expect(welcomed).toBe(true);
    expect(beats.at(-1)).toBe(log.incarnation);
  });

  test("ignores orders for the connections it had under the old one", async () => {
    const old = log.incarnation;
    verdict = "dead";
    await pass(1);
    expect(messages.listeners(nodeControlSubject(old))).toBe(0);
    expect(messages.listeners(nodeControlSubject(log.incarnation))).toBe(1);
  });
});
