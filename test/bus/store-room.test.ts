import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { bytesText, planDeployment, storeRoom } from "../../internal/bus/store-room.ts";
import { boundedBytes, buckets, limitsWithin, streams } from "../../streams/layout.ts";
import { testNats } from "../support/nats.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { connectTo } from "./support.ts";

const MIB = 1024 ** 2;
const GB = 1e9;
const SETUP = { partitions: 16, logStreams: 1, replicas: 1 };

/** A server whose store may hold so many bytes. */
async function serverOf(bytes: number) {
  const folder = await tempFolder();
  const nats = await testNats({
    config: { jetstream: { store_dir: join(folder.path, "store"), max_file_store: bytes } },
  });
  const connection = await connectTo(nats);
  return {
    nc: connection.nc,
    async [Symbol.asyncDispose]() {
      await connection.close();
      await nats[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test.each([20 * GB, 2 * GB, 100 * MIB])(
  "the defaults fit into a store of %d bytes, and every stream is bounded",
  async (bytes) => {
    await using server = await serverOf(bytes);
    const { deployment, wantsBytes, room } = await planDeployment(server.nc, SETUP);
    expect(room.bytes).toBeLessThanOrEqual(bytes);
    await reconcile(server.nc, deployment);
    const jsm = await jetstreamManager(server.nc);
    const all = await jsm.streams.list().next();
    // Asking how much there is leaves nothing behind.
    expect(all.map(({ config }) => config.name)).not.toContain("HF_PROBE");
    const bounds = all.map(({ config }) => Math.max(0, config.max_bytes));
    expect(bounds.reduce((a, b) => a + b)).toBe(wantsBytes);
    for (const { config } of all) {
      if (config.name.startsWith("HF_")) expect(config.max_bytes, config.name).toBeGreaterThan(0);
    }
  },
);

test("what does not fit is refused before anything is made, with both numbers and what to set", async () => {
  await using server = await serverOf(300 * MIB);
  const failure = planDeployment(server.nc, { ...SETUP, storeMaxBytes: 1024 * MIB });
  await expect(failure).rejects.toMatchObject({ code: "exhausted" });
  await expect(failure).rejects.toThrow(
    /want 97\d\.\d MiB of the store of each server, and there are 29\d\.\d MiB not reserved: set --store-max-bytes \(HOLDFAST_STORE_MAX_BYTES\)/,
  );
  const jsm = await jetstreamManager(server.nc);
  expect(await jsm.streams.list().next()).toEqual([]);
});

test("a store that is too small for anything says how much is needed", async () => {
  await using server = await serverOf(20 * MIB);
  await expect(planDeployment(server.nc, SETUP)).rejects.toThrow(
    /want 64\.0 MiB .* (19\.\d|20\.0) MiB/,
  );
});

test("what others have reserved is not there to be had", async () => {
  await using server = await serverOf(300 * MIB);
  const jsm = await jetstreamManager(server.nc);
  await jsm.streams.add({ name: "OTHERS", subjects: ["others"], max_bytes: 200 * MIB });
  const { bytes, atLeast } = await storeRoom(server.nc, 1, 1024 * MIB);
  expect(bytes).toBeGreaterThan(98 * MIB);
  expect(bytes).toBeLessThanOrEqual(100 * MIB);
  expect(atLeast).toBe(false);
  expect(await storeRoom(server.nc, 1, 50 * MIB)).toEqual({ bytes: 50 * MIB, atLeast: true });
});

test("a store is divided so that all of it fits, however many log streams there are", () => {
  for (const logStreams of [1, 4, 64]) {
    const layout = {
      partitions: 64,
      logStreams,
      replicas: 1,
      ...limitsWithin(1024 * MIB, logStreams),
    };
    expect(boundedBytes(layout)).toBeLessThanOrEqual(1024 * MIB);
    expect(boundedBytes(layout)).toBeGreaterThan(900 * MIB);
    const refusing = [...streams(layout), ...buckets(layout)].filter(
      ({ maxBytes }) => maxBytes === 0,
    );
    expect(refusing).toEqual([]);
  }
});

test("bytes are told in the largest unit that fits", () => {
  expect([0, 1023, 1024, 16 * 1024 ** 3].map(bytesText)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "16.0 GiB",
  ]);
});
