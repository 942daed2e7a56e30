/**
 * An access node without sockets, for benches of what stands behind it: it beats, and says to the log what a real one
 * would, by the same code. It also makes devices known that were online some days ago.
 */

import type { LoggedConnection } from "../../../internal/access/log/connection-log.ts";
import { NodeLog } from "../../../internal/access/log/node-log.ts";
import { NatsAppender } from "../../../internal/bus/appender.ts";
import type { Connection } from "../../../internal/bus/connect.ts";
import { NatsMessages } from "../../../internal/bus/messages.ts";
import { NatsNodeDeaths } from "../../../internal/bus/node-deaths.ts";
import { systemClock } from "../../../internal/clock/clock.ts";
import { connectionId, incarnationOf } from "../../../streams/connection-id.ts";
import { partitionOf } from "../../../streams/partition.ts";
import { encodeJson, type Route } from "../../../streams/records.ts";
import { routeKey } from "../../../streams/subjects.ts";
import { connectToNats } from "../../support/nats-connection.ts";
import { answerParent } from "./child.ts";

export type FakeNode = {
  start: { ask: { natsUrl: string; partitions: number }; answer: null };
  /** Writes routes as owners do, of devices that are offline. Resolves when they are stored. */
  known: { ask: { devices: string[] }; answer: null };
  /** Logs devices in; resolves with their connection ids when the log has them. */
  open: { ask: { devices: string[] }; answer: { connectionIds: string[] } };
  /** Their connections end. */
  close: { ask: { devices: string[] }; answer: null };
  connectionIds: { ask: { devices: string[] }; answer: { connectionIds: string[] } };
};

const APP = "demo";
const TURN = 1_000;
const LAST_SEEN = { agoMs: 86_400_000, incarnation: incarnationOf("earlier", 0) };

class Node {
  readonly #partitions: number;
  readonly #appender: NatsAppender;
  /** The log's own may have to wait for others. */
  readonly #routes: NatsAppender;
  readonly #log: NodeLog;
  readonly #open = new Map<string, LoggedConnection>();
  #counter = 0;

  constructor(connection: Connection, partitions: number) {
    this.#partitions = partitions;
    const events = {
      stalled: (why: Error) => console.log(`JetStream takes no messages: ${why.message}`),
      refused: (subject: string, why: Error) => console.error(`${subject}: ${why.message}`),
    };
    this.#appender = new NatsAppender(connection, events);
    this.#routes = new NatsAppender(connection, events);
    this.#log = new NodeLog({
      name: "fake",
      version: "bench",
      partitions,
      clock: systemClock,
      random: Math.random,
      appender: this.#appender,
      messages: new NatsMessages(connection),
      link: connection.link,
      isolatedAfterMs: 600_000,
      deaths: new NatsNodeDeaths(connection, 1),
      status: () => ({
        endpoints: [],
        draining: false,
        load: 0,
        retryAfterMs: 0,
        loginsPerSecond: 0,
      }),
      events: {
        incarnationChanged: (incarnation) => console.log(`the fake node is now ${incarnation}`),
        order: () => false,
        isolated: () => {},
        reunited: () => {},
      },
    });
    this.#log.start();
  }

  async known(devices: readonly string[]): Promise<void> {
    await this.#inTurns(devices, (device) => {
      const partition = partitionOf(APP, device, this.#partitions);
      const subject = `$KV.hf_route.${routeKey(partition, APP, device)}`;
      this.#routes.append(subject, encodeJson(offlineRoute(device)));
    });
    while (this.#routes.backlog > 0) await nextTurn();
  }

  async open(devices: readonly string[]): Promise<void> {
    let stored = 0;
    await this.#inTurns(devices, (device) => {
      this.#counter += 1;
      const connection: LoggedConnection = {
        counter: this.#counter,
        app: APP,
        device,
        user: "",
        partition: partitionOf(APP, device, this.#partitions),
        openedAtMs: Date.now(),
        client: undefined,
        address: "127.0.0.1",
        businesses: [],
        rooms: [],
        loginNumber: 0,
        handledSequence: 0,
      };
      this.#open.set(device, connection);
      this.#log.opened(connection, () => {
        stored += 1;
      });
    });
    while (stored < devices.length) await nextTurn();
  }

  async close(devices: readonly string[]): Promise<void> {
    await this.#inTurns(devices, (device) => {
      const connection = this.#open.get(device);
      if (connection === undefined) throw new Error(`${device} is not online`);
      this.#open.delete(device);
      this.#log.closed(connection, "client-closed");
    });
    await this.#log.settled();
  }

  /** "" for those who are offline. */
  connectionIds(devices: readonly string[]): string[] {
    return devices.map((device) => {
      const connection = this.#open.get(device);
      return connection === undefined
        ? ""
        : connectionId(this.#log.incarnation, connection.counter);
    });
  }

  /** As fast as the log takes it, with the beats in between. */
  async #inTurns(devices: readonly string[], act: (device: string) => void): Promise<void> {
    for (let from = 0; from < devices.length; from += TURN) {
      while (!this.#appender.ready || !this.#routes.ready) await nextTurn();
      for (const device of devices.slice(from, from + TURN)) act(device);
      await nextTurn();
    }
  }
}

function offlineRoute(device: string): Route {
  const at = Date.now() - LAST_SEEN.agoMs;
  return {
    app: APP,
    device,
    user: "",
    online: false,
    connection: connectionId(LAST_SEEN.incarnation, 1),
    node: LAST_SEEN.incarnation,
    platform: "web",
    appVersion: "1.0.0",
    address: "127.0.0.1",
    businesses: [],
    since: at,
    lastSeen: at,
    rooms: [],
    sequence: 1,
    loginNumber: 0,
    reason: "client-closed",
  };
}

const nextTurn = () => new Promise<void>((next) => setTimeout(next, 1));

let node: Node | undefined;

function started(): Node {
  if (node === undefined) throw new Error("the node has not started");
  return node;
}

answerParent<FakeNode>({
  async start({ natsUrl, partitions }) {
    node = new Node(await connectToNats(natsUrl), partitions);
    return null;
  },
  async known({ devices }) {
    await started().known(devices);
    return null;
  },
  async open({ devices }) {
    await started().open(devices);
    return { connectionIds: started().connectionIds(devices) };
  },
  async close({ devices }) {
    await started().close(devices);
    return null;
  },
  connectionIds: ({ devices }) => ({ connectionIds: started().connectionIds(devices) }),
});
