import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import {
  type EmbeddedNats,
  type EmbeddedNatsEvent,
  startEmbeddedNats,
} from "../../internal/nats-server/embedded.ts";
import { freePort } from "../../internal/nats-server/free-port.ts";
import { startNatsProcess } from "../../internal/nats-server/nats-process.ts";
import { recordOf, writeRecord } from "../../internal/nats-server/process-record.ts";
import { serverConfig } from "../../internal/nats-server/server-config.ts";
import { eventually } from "../support/eventually.ts";
import { localBinary } from "../support/nats-local.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { tied } from "../support/tied.ts";
import { fakeNatsServer } from "./fake-binary.ts";

const binary = await localBinary();

type At = Pick<EmbeddedNats, "url" | "user" | "password">;

/** Starts a process that has an embedded NATS, and waits for that. */
async function startParent(dataDir: string) {
  const script = join(import.meta.dirname, "embedded-parent.ts");
  const child = tied(
    spawn(process.execPath, [script, dataDir, binary], {
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return { child, ...(JSON.parse(line) as At & { pid: number }) };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  await once(child, "exit");
}

const runs = async (pid: number) => (await recordOf(pid)) !== undefined;

async function storeMessage({ url, user, password }: At): Promise<void> {
  await using connection = await connect({ servers: url, user, pass: password });
  await (await jetstreamManager(connection)).streams.add({ name: "KEPT", subjects: ["kept"] });
  await jetstream(connection).publish("kept", "still here");
}

async function storedMessages(url: string): Promise<number> {
  await using connection = await connect({ servers: url });
  const { state } = await (await jetstreamManager(connection)).streams.info("KEPT");
  return state.messages;
}

test("the embedded NATS listens on loopback, with JetStream, and says what it is", async () => {
  await using folder = await tempFolder();
  await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });

  expect(nats.url).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/);
  expect(nats.version).toMatch(/^\d+\.\d+\.\d+$/);
  await using connection = await connect({ servers: nats.url });
  expect(connection.info).toMatchObject({ jetstream: true, max_payload: 1_048_576 });
  const config = JSON.parse(await readFile(join(folder.path, "nats-server.conf"), "utf8"));
  expect(config).toMatchObject({
    host: "127.0.0.1",
    jetstream: { store_dir: join(folder.path, "nats"), sync_interval: "1s" },
  });
  for (const absent of ["http", "mqtt", "websocket", "leafnodes"]) {
    expect(config).not.toHaveProperty(absent);
  }
});

test("the embedded NATS has a password, kept in the data folder for its owner only", async () => {
  await using folder = await tempFolder();
  const passwords: string[] = [];
  for (let start = 1; start <= 2; start += 1) {
    await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });
    passwords.push(nats.password);
    await using all = await connect({ servers: nats.url, user: nats.user, pass: nats.password });
    await (await jetstreamManager(all)).streams.add({
      name: `MINE${start}`,
      subjects: [`${start}`],
    });
    const wrong = connect({ servers: nats.url, user: nats.user, pass: "guess", reconnect: false });
    await expect(wrong).rejects.toThrow(/Authorization/);
  }
  expect(passwords[0]).toBe(passwords[1]);
  expect(await readFile(join(folder.path, "nats-password"), "utf8")).toBe(`${passwords[0]}\n`);
  for (const name of ["nats-password", "nats-server.conf"]) {
    expect((await stat(join(folder.path, name))).mode & 0o777).toBe(0o600);
  }
});

test("who names no user may use the embedded NATS, but not what leads to the secrets", async () => {
  await using folder = await tempFolder();
  await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });
  {
    await using all = await connect({ servers: nats.url, user: nats.user, pass: nats.password });
    const streams = (await jetstreamManager(all)).streams;
    await streams.add({ name: "KV_hf_key", subjects: ["$KV.hf_key.>"], allow_direct: true });
    await streams.add({ name: "HF_UPLINK", subjects: ["hf.up.>"] });
    await jetstream(all).publish("$KV.hf_key.current", "secret");
  }
  await using nc = await connect({ servers: nats.url });
  await jetstream(nc).publish("hf.up.demo.shop", "an uplink");
  const consumer = { durable_name: "up", ack_policy: AckPolicy.Explicit };
  await (await jetstreamManager(nc)).consumers.add("HF_UPLINK", consumer);
  const read = await jetstream(nc).consumers.get("HF_UPLINK", "up");
  expect((await read.next())?.string()).toBe("an uplink");

  for (const subject of [
    "$KV.hf_key.current",
    "$JS.API.STREAM.MSG.GET.KV_hf_key",
    "$JS.API.STREAM.INFO.KV_hf_key",
    "$JS.API.STREAM.PURGE.KV_hf_key",
    "$JS.API.STREAM.SNAPSHOT.KV_hf_key",
    "$JS.API.DIRECT.GET.KV_hf_key",
    "$JS.API.DIRECT.GET.KV_hf_key.$KV.hf_key.current",
    "$JS.API.CONSUMER.CREATE.KV_hf_key",
    "$JS.API.CONSUMER.CREATE.KV_hf_key.x.$KV.hf_key.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.KV_hf_key.x",
    "$JS.API.CONSUMER.MSG.NEXT.KV_hf_key.x",
    "$JS.API.STREAM.CREATE.COPY",
    "$JS.API.STREAM.UPDATE.HF_UPLINK",
  ]) {
    await expect(nc.request(subject), subject).rejects.toThrow(/permission/i);
  }
  for (const subject of ["$KV.hf_key.>", "$KV.>", ">", "_INBOX_holdfast.>", "_INBOX_holdfast.*"]) {
    const heard: string[] = [];
    const listening = (async () => {
      for await (const message of nc.subscribe(subject)) heard.push(message.string());
    })().catch(() => {});
    await nc.flush();
    await using all = await connect({ servers: nats.url, user: nats.user, pass: nats.password });
    await jetstream(all).publish("$KV.hf_key.current", "secret");
    all.publish("_INBOX_holdfast.answer", "secret");
    await all.flush();
    await nc.flush();
    void listening;
    expect(heard, subject).not.toContain("secret");
  }
});

test("a NATS that was killed comes back on the same port with its data", async () => {
  await using folder = await tempFolder();
  const events: EmbeddedNatsEvent[] = [];
  await using nats = await startEmbeddedNats({
    dataDir: folder.path,
    binary,
    onEvent: (event) => events.push(event),
  });
  await storeMessage(nats);
  const { url, pid } = nats;

  for (let kills = 1; kills <= 2; kills++) {
    process.kill(nats.pid, "SIGKILL");
    await eventually(
      "restarted",
      () => events.filter((e) => e.kind === "restarted").length === kills,
    );
  }

  expect(nats.url).toBe(url);
  expect(nats.pid).not.toBe(pid);
  expect(await storedMessages(url)).toBe(1);
  expect(events).toContainEqual({ kind: "exited", code: null, signal: "SIGKILL", restartInMs: 50 });
});

test("when the gateway stops, its NATS stops and the folder is free again", async () => {
  await using folder = await tempFolder();
  const nats = await startEmbeddedNats({ dataDir: folder.path, binary });
  const { pid } = nats;

  await nats[Symbol.asyncDispose]();

  expect(await runs(pid)).toBe(false);
  expect((await readdir(folder.path)).sort()).toEqual([
    "lock.sqlite",
    "nats",
    "nats-password",
    "nats-server.conf",
  ]);
  await using again = await startEmbeddedNats({ dataDir: folder.path, binary });
  expect(again.pid).not.toBe(pid);
  await nats[Symbol.asyncDispose]();
});

test("a gateway that stops while its NATS is being restarted leaves none behind", async () => {
  await using folder = await tempFolder();
  const nats = await startEmbeddedNats({ dataDir: folder.path, binary });
  process.kill(nats.pid, "SIGKILL");
  await eventually("the death was noticed", async () => !(await runs(nats.pid)));

  await nats[Symbol.asyncDispose]();

  await expect(connect({ servers: nats.url, reconnect: false })).rejects.toThrow();
});

test("a gateway that is told to stop takes its NATS along", async () => {
  await using folder = await tempFolder();
  const parent = await startParent(folder.path);
  await end(parent.child, "SIGTERM");
  expect(await runs(parent.pid)).toBe(false);
});

test("a gateway that is killed leaves no NATS behind", async () => {
  await using folder = await tempFolder();
  const parent = await startParent(folder.path);
  expect(await runs(parent.pid)).toBe(true);

  await end(parent.child, "SIGKILL");

  await eventually("nats-server is gone", async () => !(await runs(parent.pid)), {
    withinMs: 5_000,
  });
});

test("a gateway starts on the folder of one that was killed, with its data", async () => {
  await using folder = await tempFolder();
  const parent = await startParent(folder.path);
  await storeMessage(parent);
  await end(parent.child, "SIGKILL");

  await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });

  expect(await runs(parent.pid)).toBe(false);
  expect(await storedMessages(nats.url)).toBe(1);
});

test("a NATS left behind on the folder is ended before a new one is started", async () => {
  await using folder = await tempFolder();
  const [port, serverName] = [await freePort(), "leftover"];
  const configFile = join(folder.path, "leftover.conf");
  const config = serverConfig({ serverName, port, storeDir: join(folder.path, "nats") });
  await writeFile(configFile, JSON.stringify(config));
  const leftover = await startNatsProcess({ binary, configFile, port, serverName });
  await writeRecord(join(folder.path, "nats-server.pid"), (await recordOf(leftover.pid))!);

  await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });

  expect(await runs(leftover.pid)).toBe(false);
  expect(await runs(nats.pid)).toBe(true);
});

test("a process that merely has the id of an earlier NATS is left alone", async () => {
  await using folder = await tempFolder();
  const bystander = tied(spawn("sleep", ["60"]));
  await once(bystander, "spawn");
  const pid = bystander.pid!;
  await writeRecord(join(folder.path, "nats-server.pid"), { pid, startedAt: "another time" });

  await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });

  expect(await runs(nats.pid)).toBe(true);
  expect(await runs(pid)).toBe(true);
  await end(bystander, "SIGKILL");
});

test("a second gateway on the folder of a live one is refused and told why", async () => {
  await using folder = await tempFolder();
  await using first = await startEmbeddedNats({ dataDir: folder.path, binary });

  const second = startEmbeddedNats({ dataDir: folder.path, binary });

  await expect(second).rejects.toMatchObject({ code: "conflict" });
  await expect(second).rejects.toThrow(
    `the data folder ${folder.path} is in use by another gateway (process ${process.pid})`,
  );
  await using connection = await connect({ servers: first.url });
  expect(connection.isClosed()).toBe(false);
});

test("a folder is refused to other processes while its gateway lives, and not a moment longer", async () => {
  await using folder = await tempFolder();
  const parent = await startParent(folder.path);

  await expect(startEmbeddedNats({ dataDir: folder.path, binary })).rejects.toThrow(
    `is in use by another gateway (process ${parent.child.pid})`,
  );

  await end(parent.child, "SIGKILL");
  await using nats = await startEmbeddedNats({ dataDir: folder.path, binary });
  expect(await runs(nats.pid)).toBe(true);
});

test("of several gateways started at once on one folder, exactly one starts", async () => {
  await using folder = await tempFolder();
  const killed = await startParent(folder.path);
  await end(killed.child, "SIGKILL");

  const starts = await Promise.allSettled(
    Array.from({ length: 5 }, () => startEmbeddedNats({ dataDir: folder.path, binary })),
  );

  const started = starts.filter((start) => start.status === "fulfilled");
  expect(started).toHaveLength(1);
  await started[0]!.value[Symbol.asyncDispose]();
});

test("the port that is preferred is taken, and another when somebody has it, which is said", async () => {
  await using folder = await tempFolder();
  await using other = await tempFolder();
  const preferredPort = await freePort();
  await using first = await startEmbeddedNats({ dataDir: folder.path, binary, preferredPort });
  expect(first.url).toBe(`nats://127.0.0.1:${preferredPort}`);

  const events: EmbeddedNatsEvent[] = [];
  const onEvent = (event: EmbeddedNatsEvent) => events.push(event);
  const options = { dataDir: other.path, binary, preferredPort, onEvent };
  await using second = await startEmbeddedNats(options);
  expect(second.url).not.toBe(first.url);
  expect(events).toContainEqual({ kind: "port-taken", wanted: preferredPort });
});

test("the store is a part of the disk, or what was asked for if the disk has it", async () => {
  await using folder = await tempFolder();
  const maxStore = async () =>
    JSON.parse(await readFile(join(folder.path, "nats-server.conf"), "utf8")).jetstream
      .max_file_store as number;
  {
    await using _ = await startEmbeddedNats({ dataDir: folder.path, binary });
    const { bavail, bsize } = await statfs(folder.path);
    expect(await maxStore()).toBeGreaterThan(0);
    expect(await maxStore()).toBeLessThan(bavail * bsize);
  }
  const most = startEmbeddedNats({ dataDir: folder.path, binary, storeMaxBytes: 1e15 });
  await expect(most).rejects.toMatchObject({ code: "exhausted" });
  await expect(most).rejects.toThrow(
    /--store-max-bytes \(HOLDFAST_STORE_MAX_BYTES\) is 1000000000000000, and the disk of .* has \d+ bytes/,
  );
});

test.each([
  ["under /proc", () => "/proc/holdfast"],
  ["under a file", (folder: string) => join(folder, "file", "data")],
  ["that is a file", (folder: string) => join(folder, "file")],
])("a data folder %s is refused with the option's name", async (_, path) => {
  await using folder = await tempFolder();
  await writeFile(join(folder.path, "file"), "");
  const dataDir = path(folder.path);
  const starting = startEmbeddedNats({ dataDir, binary });
  await expect(starting).rejects.toMatchObject({ code: "invalid" });
  await expect(starting).rejects.toThrow(`--data-dir (HOLDFAST_DATA_DIR): ${dataDir} cannot be`);
});

test("a data folder is made with all the folders above it", async () => {
  await using folder = await tempFolder();
  const dataDir = join(folder.path, "a", "b", "c");
  await using nats = await startEmbeddedNats({ dataDir, binary });
  expect(await runs(nats.pid)).toBe(true);
});

test("a nats-server that ends at once is reported with what it said", async () => {
  await using folder = await tempFolder();
  const fake = await fakeNatsServer(join(folder.path, "fake"), "2.15.1");
  const starting = startEmbeddedNats({ dataDir: folder.path, binary: fake });
  await expect(starting).rejects.toMatchObject({ code: "unavailable" });
  await expect(starting).rejects.toThrow("nats-server ended before it was ready (code 0)");
});

test("a port that is taken is reported with the server's own words", async () => {
  await using folder = await tempFolder();
  await using other = await tempFolder();
  await using nats = await startEmbeddedNats({ dataDir: other.path, binary });
  const port = Number(new URL(nats.url).port);

  const starting = startEmbeddedNats({ dataDir: folder.path, binary, port });

  await expect(starting).rejects.toThrow("address already in use");
  // The failed start let go of the folder.
  await using again = await startEmbeddedNats({ dataDir: folder.path, binary });
  expect(again.pid).toBeGreaterThan(0);
});
