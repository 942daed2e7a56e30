import type {
  ConnectionLogEvents,
  LoggedConnection,
} from "../../internal/access/log/connection-log.ts";
import { NodeLog } from "../../internal/access/log/node-log.ts";
import { closeReasonOf, type EndReason } from "../../internal/status/close.ts";
import { connectionId } from "../../streams/connection-id.ts";
import { partitionOf } from "../../streams/partition.ts";
import type { Broker } from "./broker.ts";
import { SimAppender, SimMessages, SimNodeDeaths } from "./client.ts";
import { SimConnection } from "./connection.ts";
import { SimProcess } from "./process.ts";

const ISOLATED_AFTER_MS = 120_000;

/** A client's connection, as its node sees it. */
export class SimSession implements LoggedConnection {
  readonly node: SimNode;
  readonly counter: number;
  readonly app = "demo";
  readonly device: string;
  readonly user: string;
  readonly partition: number;
  readonly openedAtMs: number;
  readonly client = undefined;
  readonly address = "192.0.2.1";
  readonly businesses = ["chat"];
  readonly loginNumber: number;
  readonly handledSequence = 0;
  readonly rooms = new Set<string>();
  /** Grows from session to session, over all nodes. */
  readonly order: number;
  closed = false;
  welcomed = false;

  constructor(node: SimNode, about: { device: string; user: string; order: number }) {
    this.node = node;
    this.counter = node.nextCounter();
    this.device = about.device;
    this.user = about.user;
    this.order = about.order;
    this.loginNumber = about.order;
    this.partition = partitionOf(this.app, this.device, node.partitions);
    this.openedAtMs = node.process.clock.now();
  }

  get open(): boolean {
    return !this.closed && this.node.process.alive;
  }

  get id(): string {
    return connectionId(this.node.log.incarnation, this.counter);
  }
}

export interface NodeEvents {
  kicked(session: SimSession): void;
}

/** An access node: the real log side, and the least of a session layer. */
export class SimNode {
  readonly process: SimProcess;
  readonly connection: SimConnection;
  readonly partitions: number;
  readonly log: NodeLog;
  readonly appender: SimAppender;
  readonly sessions = new Map<number, SimSession>();
  readonly incarnations: string[] = [];
  /** How often it has sent its clients elsewhere, because it was alone. */
  isolations = 0;
  #counter = 0;

  constructor(name: string, broker: Broker, partitions: number, events: NodeEvents) {
    const { world } = broker;
    this.process = new SimProcess(world, name);
    this.connection = new SimConnection(this.process, broker);
    this.partitions = partitions;
    this.appender = new SimAppender(this.connection);
    const logEvents: ConnectionLogEvents = {
      incarnationChanged: (incarnation) => this.incarnations.push(incarnation),
      order: ({ body }) => {
        if (body.case !== "kick") return false;
        const session = this.sessions.get(Number(body.value.connection));
        if (session === undefined) return false;
        events.kicked(session);
        this.close(session, closeReasonOf(body.value.code) ?? "internal");
        return true;
      },
      isolated: () => {
        this.isolations += 1;
        for (const session of [...this.sessions.values()]) this.close(session, "isolated");
      },
      reunited: () => {},
    };
    this.log = new NodeLog({
      name,
      version: "0",
      partitions,
      clock: this.process.clock,
      random: world.random,
      appender: this.appender,
      messages: new SimMessages(this.connection),
      link: this.connection,
      deaths: new SimNodeDeaths(this.connection),
      isolatedAfterMs: ISOLATED_AFTER_MS,
      // Every connection in a turn of its own, so that whatever can come in between does.
      sliceMs: 0,
      status: () => ({
        endpoints: [],
        draining: false,
        load: 0,
        retryAfterMs: 0,
        loginsPerSecond: 0,
      }),
      events: logEvents,
      // As if a thousand ended at once.
      departures: { burst: 1, perTick: 1 },
    });
    this.log.start();
    this.incarnations.push(this.log.incarnation);
  }

  /** True if it takes a login now. */
  get takesLogins(): boolean {
    return this.process.alive && !this.process.frozen && this.log.serving;
  }

  nextCounter(): number {
    this.#counter += 1;
    return this.#counter;
  }

  open(session: SimSession): void {
    if (session.closed) return;
    this.sessions.set(session.counter, session);
    this.log.opened(session, () => {
      session.welcomed = true;
    });
  }

  setRoom(session: SimSession, room: string, member: boolean): void {
    if (!this.sessions.has(session.counter)) return;
    if (member) session.rooms.add(room);
    else session.rooms.delete(room);
    this.log.roomsChanged(session);
  }

  close(session: SimSession, reason: EndReason): void {
    session.closed = true;
    if (this.sessions.delete(session.counter)) this.log.closed(session, reason);
  }

  kill(): void {
    this.process.kill();
    this.sessions.clear();
    this.connection.broker.connections.delete(this.connection);
    this.connection.broker.dropped(this.connection);
  }
}
