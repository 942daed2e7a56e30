/**
 * How many events a second one process gets acknowledged by JetStream (one file stream, one copy):
 * the appender's window against the client library's own publish, in the same run.
 *
 *     node test/bench/appender.ts [events]
 */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { NatsAppender } from "../../internal/bus/appender.ts";
import { type Connection, connect } from "../../internal/bus/connect.ts";
import { testNats } from "../support/nats.ts";

const EVENTS = Number(process.argv[2] ?? 500_000);
const PAYLOAD = new Uint8Array(200).fill(120);
const SUBJECT = "bench.log.3.connected.node-abc123";

await using nats = await testNats();
await using connection = await connect({
  urls: [nats.url],
  name: "bench",
  events: { waiting: console.error, fault: console.error },
});
const jsm = await jetstreamManager(connection.nc);
await jsm.streams.add({ name: "BENCH", subjects: ["bench.log.>"] });

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"]).toString().trim();
console.log(`machine: ${cpus().length} x ${cpus()[0]?.model}, Node ${process.version}`);
console.log(`nats-server ${connection.nc.info?.version} (${nats.kind}), commit ${commit}`);
console.log(`counted: events acknowledged by JetStream; payload ${PAYLOAD.length} bytes`);

await measure("warm-up", EVENTS / 10, withAppender);
await measure("appender", EVENTS, withAppender);
await measure("js.publish, 1,000 at once", EVENTS / 5, withPublish);

type Load = (connection: Connection, events: number) => Promise<void>;

async function measure(what: string, events: number, load: Load): Promise<void> {
  const cpu = process.cpuUsage();
  const started = performance.now();
  await load(connection, events);
  const ms = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const rate = Math.round((events / ms) * 1_000).toLocaleString("en");
  const each = ((used.user + used.system) / events).toFixed(2);
  console.log(`${what}: ${events} events, ${rate}/s, ${each} µs CPU of this process each`);
}

function withAppender(connection: Connection, events: number): Promise<void> {
  return new Promise((done, fail) => {
    const appender = new NatsAppender(connection, {
      stalled: fail,
      refused: (_, why) => fail(why),
    });
    let added = 0;
    let acknowledged = 0;
    const feed = () => {
      while (added < events && appender.ready) {
        appender.append(SUBJECT, PAYLOAD, stored);
        added++;
      }
    };
    const stored = () => {
      acknowledged++;
      feed();
      if (acknowledged < events) return;
      appender[Symbol.dispose]();
      done();
    };
    feed();
  });
}

async function withPublish(connection: Connection, events: number): Promise<void> {
  const js = jetstream(connection.nc);
  let added = 0;
  const publisher = async () => {
    while (added < events) {
      added++;
      await js.publish(SUBJECT, PAYLOAD);
    }
  };
  await Promise.all(Array.from({ length: 1_000 }, publisher));
}
