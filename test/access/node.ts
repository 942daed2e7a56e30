/** An access node on loopback, with everything around it faked. */
import type { AccessConfig } from "../../internal/access/config.ts";
import { type AccessMetrics, newAccessMetrics } from "../../internal/access/metrics.ts";
import { type AccessNode, createAccessNode } from "../../internal/access/service.ts";
import type { Clock, Random } from "../../internal/clock/clock.ts";
import type { Welcome } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type ClientOptions, connectClient, type TestClient } from "../support/client.ts";
import { FakeStreams } from "../support/fake-streams.ts";
import { quietLogger } from "../support/logger.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import {
  FakeAppender,
  FakeLink,
  FakeLog,
  FakeRevocations,
  FakeStream,
  fakeVerifier,
  type TokenInit,
  tokenOf,
} from "./fakes.ts";

export interface TestNode extends AsyncDisposable {
  node: AccessNode;
  log: FakeLog;
  messages: MemoryMessages;
  urgent: MemoryMessages;
  appender: FakeAppender;
  stream: FakeStream;
  streams: FakeStreams;
  link: FakeLink;
  roomSettings: MemoryBucket;
  businesses: MemoryBucket;
  revocations: FakeRevocations;
  metrics: AccessMetrics;
  /** Where clients connect to. */
  endpoint(protocol: "websocket" | "tcp"): URL;
  /** Connects without logging in. Over WebSocket with JSON unless told otherwise. */
  connect(how?: ClientKind): Promise<TestClient>;
  /** Connects and logs in. */
  login(token?: TokenInit, how?: ClientKind): Promise<LoggedIn>;
}

export interface ClientKind {
  protocol?: "websocket" | "tcp";
  encoding?: "proto" | "json";
}

export interface LoggedIn {
  client: TestClient;
  welcome: Welcome;
  /** The counter of its connection id. */
  counter: bigint;
}

export async function startNode(
  options: { config?: Partial<AccessConfig>; clock?: Clock; random?: Random } = {},
): Promise<TestNode> {
  const messages = new MemoryMessages();
  const urgent = new MemoryMessages();
  const appender = new FakeAppender();
  const stream = new FakeStream(messages);
  const streams = new FakeStreams();
  const link = new FakeLink();
  const roomSettings = new MemoryBucket();
  const businesses = new MemoryBucket();
  const metrics = newAccessMetrics();
  const logs: FakeLog[] = [];
  const revocations = new FakeRevocations();
  const anywhere = { host: "127.0.0.1", port: 0, url: undefined };
  const node = await createAccessNode({
    config: {
      websocket: anywhere,
      tcp: anywhere,
      tls: undefined,
      origins: [],
      reusePort: false,
      partitions: 16,
      heartbeatSeconds: 30,
      maxFrameBytes: 65_536,
      admission: {},
      ...options.config,
    },
    adapters: {
      messages,
      urgent,
      appender,
      streams,
      history: stream,
      link,
      roomSettings,
      businesses,
      verifier: fakeVerifier,
      revocations,
      apps: revocations,
      openLog(events, status) {
        status(); // as the real one does with its first beat
        const log = new FakeLog(events);
        logs.push(log);
        return log;
      },
      ...(options.clock !== undefined && { clock: options.clock }),
      ...(options.random !== undefined && { random: options.random }),
    },
    logger: quietLogger,
    metrics,
  });
  const clients: TestClient[] = [];
  const [log] = logs;
  if (log === undefined) throw new Error("the node opened no log");

  const endpoint = (protocol: "websocket" | "tcp") =>
    new URL(node.endpoints().find((one) => one.protocol === protocol)?.url ?? "");

  async function connect({ protocol = "websocket", encoding = "json" }: ClientKind = {}) {
    const how: ClientOptions = { url: endpoint(protocol).href, encoding };
    const client = await connectClient(how);
    clients.push(client);
    return client;
  }

  async function login(token: TokenInit = {}, how: ClientKind = {}): Promise<LoggedIn> {
    const client = await connect(how);
    client.send({ login: { token: tokenOf(token) } });
    const welcome = await client.next("welcome");
    const counter = BigInt(welcome.connectionId.slice(welcome.connectionId.lastIndexOf(".") + 1));
    return { client, welcome, counter };
  }

  return {
    node,
    log,
    messages,
    urgent,
    appender,
    stream,
    streams,
    link,
    roomSettings,
    businesses,
    revocations,
    metrics,
    endpoint,
    connect,
    login,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.abort();
      await node[Symbol.asyncDispose]();
    },
  };
}
