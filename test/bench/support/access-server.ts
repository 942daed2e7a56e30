/** An access node with everything around it faked, for the parent to load and measure. */
import { newAccessMetrics } from "../../../internal/access/metrics.ts";
import { createAccessNode } from "../../../internal/access/service.ts";
import { encodeJson, type RoomSettings } from "../../../streams/records.ts";
import { roomKey } from "../../../streams/subjects.ts";
import {
  FakeAppender,
  FakeLink,
  FakeLog,
  FakeRevocations,
  FakeStream,
  fakeVerifier,
} from "../../access/fakes.ts";
import { FakeStreams } from "../../support/fake-streams.ts";
import { quietLogger } from "../../support/logger.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";
import { MemoryMessages } from "../../support/memory-messages.ts";
import { answerParent } from "./child.ts";
import { cpuMicros, settledRss } from "./usage.ts";

export type AccessServer = {
  listen: { ask: null; answer: { port: number } };
  rss: { ask: null; answer: { bytes: number; sessions: number } };
  cpu: { ask: null; answer: { micros: number } };
  /** Sent to clients since the start. */
  bytesOut: { ask: null; answer: { bytes: number } };
  /** One message to a room, without a name "bench", which gathers nothing. */
  publish: { ask: { text: string; room?: string }; answer: null };
};

const metrics = newAccessMetrics();
const messages = new MemoryMessages();
const stream = new FakeStream(messages);
const roomSettings = new MemoryBucket();
const never: RoomSettings = { zone: "", aggregation: "never" };
roomSettings.put(roomKey("shop", "bench"), encodeJson(never), 0, () => {});
const anywhere = { host: "127.0.0.1", port: 0, url: undefined };
const node = await createAccessNode({
  config: {
    websocket: anywhere,
    tcp: anywhere,
    tls: undefined,
    origins: [],
    reusePort: false,
    partitions: 16,
    heartbeatSeconds: 3_600, // the load does not ping
    maxFrameBytes: 65_536,
    admission: {},
  },
  adapters: {
    messages,
    urgent: new MemoryMessages(),
    appender: new FakeAppender(),
    streams: new FakeStreams(),
    history: stream,
    link: new FakeLink(),
    roomSettings,
    businesses: new MemoryBucket(),
    verifier: fakeVerifier,
    revocations: new FakeRevocations(),
    apps: new FakeRevocations(),
    openLog: (events) => {
      const log = new FakeLog(events);
      log.entries.push = () => 0; // it would remember every connection
      return log;
    },
  },
  logger: quietLogger,
  metrics,
});

answerParent<AccessServer>({
  listen() {
    const [listener] = node.listeners;
    if (listener === undefined) throw new Error("the node does not listen");
    return { port: listener.port };
  },
  async rss() {
    return { bytes: await settledRss(), sessions: metrics.sessions };
  },
  cpu: () => ({ micros: cpuMicros() }),
  bytesOut: () => ({ bytes: metrics.bytesOut }),
  publish({ text, room = "bench" }) {
    stream.publish({ kind: "room", app: "shop", id: room }, text);
    return null;
  },
});
