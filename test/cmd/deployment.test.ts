import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startGateway } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import { testCluster } from "../support/nats-cluster.ts";

const MIB = 1024 ** 2;
const START_WITHIN_MS = 100_000;

async function deployment(natsUrl: string, ...args: string[]) {
  const command = ["cmd/holdfast.ts", "deployment", ...args, "--nats-url", natsUrl];
  return promisify(execFile)(process.execPath, command, { env: process.env }).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: "" }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

/** Every stream's copies and limits. */
async function limits(natsUrl: string) {
  await using nc = await connect({ servers: natsUrl });
  const jsm = await jetstreamManager(nc);
  const all: Record<string, unknown> = {};
  for (const { config } of await jsm.streams.list().next()) {
    const { num_replicas, max_bytes, max_age, discard } = config;
    all[config.name] = { num_replicas, max_bytes, max_age, discard };
  }
  return all;
}

/** Starts a control role until it serves, and gives what it said. */
async function started(natsUrl: string, env: Record<string, string> = {}) {
  await using gateway = await startGateway("control", { HOLDFAST_NATS_URL: natsUrl, ...env });
  await eventually(
    "it serves",
    () => gateway.lines.some(({ msg, transport }) => msg === "listening" && transport === "http"),
    { withinMs: START_WITHIN_MS },
  );
  return gateway.output.join("\n");
}

test("a deployment is as its first start has set it up, until the command changes it", {
  timeout: 180_000,
}, async () => {
  await using nats = await testNats();
  const store = { HOLDFAST_STORE_MAX_BYTES: String(200 * MIB) };
  const first = await started(nats.url, store);
  expect(first).toMatch(/the streams want up to 190\.0 MiB of each server; there are at least 190/);
  const before = await limits(nats.url);

  const other = { HOLDFAST_REPLICAS: "3", HOLDFAST_LOG_MAX_BYTES: String(5 * MIB) };
  const second = await started(nats.url, other);
  expect(await limits(nats.url)).toEqual(before);
  expect(second).toContain(
    '--replicas 3 (HOLDFAST_REPLICAS) is not used: this deployment has 1. \\"holdfast deployment set --replicas 3 --yes\\" would change it',
  );
  expect(second).toMatch(/--log-max-bytes 5242880 .* is not used: this deployment has 67108864/);

  const shown = JSON.parse((await deployment(nats.url, "show", "--json")).stdout);
  expect(shown.deployment).toMatchObject({ partitions: 16, replicas: 1, logMaxBytes: 67_108_864 });
  expect(shown.differing).toEqual([]);

  const set = ["set", "--log-max-bytes", String(8 * MIB)];
  const dry = await deployment(nats.url, ...set);
  expect(dry.stdout).toMatch(/would change:\n {2}HF_LOG_0: max_bytes 67108864 → 8388608/);
  expect(await limits(nats.url)).toEqual(before);
  const done = JSON.parse((await deployment(nats.url, ...set, "--yes", "--json")).stdout);
  expect(done).toMatchObject({ done: true, deployment: { logMaxBytes: 8 * MIB } });
  expect(await limits(nats.url)).toMatchObject({ HF_LOG_0: { max_bytes: 8 * MIB } });

  // The next start takes what holds now.
  expect(await started(nats.url)).not.toContain("not used");
  expect(await limits(nats.url)).toMatchObject({ HF_LOG_0: { max_bytes: 8 * MIB } });
});

test("limits below what is stored are refused from the command line, and so is what does not fit", {
  timeout: 180_000,
}, async () => {
  await using nats = await testNats();
  await started(nats.url, { HOLDFAST_STORE_MAX_BYTES: String(200 * MIB) });
  await using nc = await connect({ servers: nats.url });
  for (let count = 0; count < 3; count++) {
    await jetstream(nc).publish("hf.mail.0.demo.d1", new Uint8Array(MIB / 2));
  }
  const small = await deployment(nats.url, "set", "--mail-max-bytes", String(MIB), "--yes");
  expect(small).toMatchObject({ code: 1 });
  expect(small.stderr).toMatch(/HF_MAIL holds 1\.5 MiB, more than 1\.0 MiB/);
  const large = await deployment(nats.url, "set", "--mail-max-bytes", String(1e15), "--yes");
  expect(large).toMatchObject({ code: 1 });
  expect(large.stderr).toMatch(/no room in the store/);
  const wrong = await deployment(nats.url, "set", "--mail-max-bytes", "12");
  expect(wrong.stderr).toMatch(/must be a whole number from 1048576/);
});

test("a role without HOLDFAST_REPLICAS leaves a cluster with three copies as it is", {
  timeout: 240_000,
}, async () => {
  await using cluster = await testCluster();
  const urls = cluster.urls.join(",");
  const setup = { HOLDFAST_REPLICAS: "3", HOLDFAST_STORE_MAX_BYTES: String(200 * MIB) };
  // All at once, as a deployment comes up.
  await Promise.all([started(urls, setup), started(urls, setup), started(urls, setup)]);
  const before = await limits(cluster.urls[0]!);
  expect(before).toMatchObject({ HF_LOG_0: { num_replicas: 3 }, KV_hf_route: { num_replicas: 3 } });

  await started(urls);

  expect(await limits(cluster.urls[0]!)).toEqual(before);
});
