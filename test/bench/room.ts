/**
 * Rooms: what a delivered message costs the server, how long it takes, how small batches are.
 *
 * - one room, each message at once: CPU (user and system) of the access process for each delivery, against a
 *   bare `net` server that writes the same bytes to as many sockets in the same run. The bus is faked;
 *   clients are in a process of their own.
 * - one room, gathered: messages times members, by the CPU seconds of the access process, from the first
 *   message to the last byte at the clients. They read zlib.
 * - many rooms: from the call of the push API to the client, the whole system in processes of its own
 * - the push API: messages that it says were sent to rooms, each with a member of its own, a second
 * - compressed size of batches of 20 chat messages (support/chat.ts), against the same batches as they are
 *
 *     node test/bench/room.ts [members] [rooms]
 */
import { spawnSync } from "node:child_process";
import { randomUUIDv7 } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TokenIssuer } from "../../internal/auth/token-issuer.ts";
import { NatsBucket } from "../../internal/bus/bucket.ts";
import { connect } from "../../internal/bus/connect.ts";
import { type BatchEncoding, batchFrame } from "../../internal/wire/batch-frame.ts";
import { MessageSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { call } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import type { AccessServer } from "./support/access-server.ts";
import { chat } from "./support/chat.ts";
import { Child } from "./support/child.ts";
import { startForBench } from "./support/deployment.ts";
import { printSetting, report } from "./support/report.ts";
import { type RoomClients, TIME_MARK } from "./support/room-clients.ts";
import type { Swarm } from "./support/swarm.ts";

const TARGET = {
  gatheredPerCpuSecond: 1_000_000,
  roomsP99Ms: 50,
  compressed: 0.25,
  acceptedPerSecond: 20_000,
};
const GATHERED_RATE = 200;
const SECONDS = 5;
const MEMBERS_OF_A_ROOM = 3;
const ROOMS_OF_A_CALL = 500;
/** Of access nodes and of clients: one may not have so many files open. */
const PROCESSES = 2;
const members = Number(process.argv[2] ?? 10_000);
const rooms = Number(process.argv[3] ?? 10_000);

printSetting();
compression();
console.log(`\n${members} members in one room, each message at once (fanout.ts):`);
const fanout = spawnSync(process.execPath, ["test/bench/fanout.ts", String(members)], {
  stdio: "inherit",
});
if (fanout.status !== 0) process.exitCode = 1;
await gathered();
await manyRooms();

function compression(): void {
  const BATCHES = 100;
  const encodings: Exclude<BatchEncoding, "identity">[] = ["zlib", "br", "zstd"];
  const batches = Array.from({ length: BATCHES }, (_, seed) =>
    chat(20, seed + 1).map(({ text, sentAtMs }, i) =>
      toBinary(
        MessageSchema,
        create(MessageSchema, {
          messageId: randomUUIDv7(),
          business: "chat",
          room: "live-room-1",
          payload: { case: "text", value: text },
          position: BigInt(1_795_831_878_000_000 + seed * 100 + i),
          sentAt: timestampFromMs(sentAtMs),
        }),
      ),
    ),
  );
  // As for a room of a thousand members and more.
  const bytesOf = (encoding: BatchEncoding) =>
    batches.reduce((sum, batch) => sum + batchFrame(batch, encoding, true).frame.binary.length, 0);
  const plain = bytesOf("identity");
  const shares = encodings.map((encoding) => [encoding, bytesOf(encoding) / plain] as const);
  const best = Math.min(...shares.map(([, share]) => share));
  const all = shares.map(([name, share]) => `${name} ${(share * 100).toFixed(1)} %`).join(", ");
  const what = `batches of 20 chat messages, ${Math.round(plain / BATCHES)} bytes each, compressed`;
  report(what, all, best <= TARGET.compressed);
}

async function gathered(): Promise<void> {
  await using server = new Child<AccessServer>("./access-server.ts");
  await using clients = new Child<Swarm>("./swarm.ts");
  const { port } = await server.ask("listen", null);
  const encodings = ["zlib"];
  const count = { port, count: members, firstDevice: 0, room: "crowd", encodings };
  await clients.ask("openLoggedIn", count);
  const messages = GATHERED_RATE * SECONDS;
  const send = async (texts: readonly string[]) => {
    const startedAt = performance.now();
    for (const [i, text] of texts.entries()) {
      await delay(Math.max(0, startedAt + (i * 1_000) / GATHERED_RATE - performance.now()));
      await server.ask("publish", { text, room: "crowd" });
    }
  };
  const arrived = async (sentBefore: number): Promise<number> => {
    // The last window is over, and everything has been written.
    for (let last = -1; ; ) {
      await delay(500);
      const { bytes } = await server.ask("bytesOut", null);
      if (bytes === last) break;
      last = bytes;
    }
    const { bytes } = await server.ask("bytesOut", null);
    await clients.ask("receive", { bytes: bytes - sentBefore });
    return bytes - sentBefore;
  };
  const texts = chat(messages, 1).map(({ text }) => text);
  const warm = (await server.ask("bytesOut", null)).bytes;
  await send(texts.slice(0, GATHERED_RATE));
  await arrived(warm);
  const { bytes: before } = await server.ask("bytesOut", null);
  const cpuBefore = await server.ask("cpu", null);
  await send(texts);
  const bytes = await arrived(before);
  const cpuAfter = await server.ask("cpu", null);
  const seconds = (cpuAfter.micros - cpuBefore.micros) / 1e6;
  const perSecond = (messages * members) / seconds;
  report(
    `${members} members in one room, ${GATHERED_RATE} messages/s gathered`,
    `${Math.round(perSecond)} delivered messages a CPU second (${messages} x ${members} in ${seconds.toFixed(2)} s of CPU, ${Math.round(bytes / members)} bytes to each)`,
    perSecond >= TARGET.gatheredPerCpuSecond,
  );
}

async function manyRooms(): Promise<void> {
  await using nats = await testNats();
  await using deployment = await startForBench(nats, 1, PROCESSES);
  const ports = deployment.access.map(({ wsUrl }) => Number(new URL(wsUrl).port));
  const events = { waiting: console.error, fault: console.error };
  await using connection = await connect({ urls: [nats.url], name: "bench", events });
  const issuer = await TokenIssuer.open(new NatsBucket(connection, "hf_key"));
  const expiresAtMs = Date.now() + 900_000;
  const all = await Promise.all(
    Array.from({ length: rooms * MEMBERS_OF_A_ROOM }, async (_, i) => ({
      token: await issuer.issue({ app: "demo", device: `d${i}`, user: "" }, expiresAtMs),
      room: `room-${i % rooms}`,
    })),
  );
  await using started = new AsyncDisposableStack();
  const clients = ports.map(() => started.use(new Child<RoomClients>("./room-clients.ts")));
  await Promise.all(
    clients.map((one, index) => {
      const own = all.filter((_, i) => i % PROCESSES === index);
      return one.ask("open", { port: ports[index] ?? 0, members: own });
    }),
  );
  const heard = async () => {
    const lists = await Promise.all(clients.map((one) => one.ask("latencies", null)));
    return lists.flat().sort((a, b) => a - b);
  };
  await delay(2_000);
  await heard();
  const names = Array.from({ length: rooms }, (_, i) => `room-${i}`);
  const push = async (targets: string[]) => {
    const message = { business: "bench", text: `${TIME_MARK}${Date.now()} ${"x".repeat(80)}` };
    const { results = [] } = await call<{ results?: { status?: string }[] }>(
      deployment.pushUrl,
      "holdfast.push.v1.PushService/PushToRooms",
      { app: "demo", rooms: targets, message },
    );
    return results.filter(({ status }) => status === "SENT").length;
  };
  // Every room once a second, spread over the second.
  const startedAt = performance.now();
  const perCall = Math.min(ROOMS_OF_A_CALL / 10, rooms);
  const calls = (rooms / perCall) * SECONDS;
  const pending: Promise<number>[] = [];
  for (let i = 0; i < calls; i += 1) {
    const at = (i * perCall) % rooms;
    await delay(Math.max(0, startedAt + (i * SECONDS * 1_000) / calls - performance.now()));
    pending.push(push(names.slice(at, at + perCall)));
  }
  const sent = (await Promise.all(pending)).reduce((sum, count) => sum + count, 0);
  await delay(2_000);
  const latencies = await heard();
  const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? Number.NaN;
  report(
    `${rooms} rooms of ${MEMBERS_OF_A_ROOM}, a message in each every second, call to client`,
    `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms (${sent} sent, ${latencies.length} came)`,
    at(0.99) <= TARGET.roomsP99Ms && latencies.length >= sent * MEMBERS_OF_A_ROOM,
  );

  const LANES = 8;
  const until = performance.now() + SECONDS * 1_000;
  const accepted = await Promise.all(
    Array.from({ length: LANES }, async (_, lane) => {
      let count = 0;
      for (let n = lane; performance.now() < until; n += LANES) {
        const from = (n * ROOMS_OF_A_CALL) % rooms;
        count += await push(names.slice(from, from + ROOMS_OF_A_CALL));
      }
      return count;
    }),
  );
  const rate = accepted.reduce((sum, count) => sum + count, 0) / SECONDS;
  report(
    "room messages that the push API takes",
    `${Math.round(rate)}/s`,
    rate >= TARGET.acceptedPerSecond,
  );
}
