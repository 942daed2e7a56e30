/** How gateway processes begin and end. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePort } from "../../internal/nats-server/free-port.ts";
import { recordOf } from "../../internal/nats-server/process-record.ts";
import { eventually } from "../support/eventually.ts";
import { admit, type GatewayProcess, ready, startGateway } from "../support/gateway.ts";
import { loginJson } from "../support/json-client.ts";
import { testNats } from "../support/nats.ts";
import { tempFolder } from "../support/temp-folder.ts";

/** Several starts, one after the other, on a machine that does other things too. */
const LONG = { timeout: 120_000 };

async function readyAll(gateway: GatewayProcess): Promise<string> {
  const url = await gateway.address("control", "http");
  await ready(url);
  return url;
}

async function login(controlUrl: string, device: string) {
  const { token, endpoints } = await admit(controlUrl, device);
  return loginJson(endpoints.find(({ protocol }) => protocol === "websocket")!.url, token);
}

async function natsPid(dataDir: string): Promise<number> {
  const record = await readFile(join(dataDir, "nats-server.pid"), "utf8");
  return (JSON.parse(record) as { pid: number }).pid;
}

test(
  "a second gateway on a folder in use ends with a clear error, and one after it starts",
  LONG,
  async () => {
    await using folder = await tempFolder();
    const env = { HOLDFAST_DATA_DIR: folder.path };
    {
      await using first = await startGateway("all", env);
      await readyAll(first);
      await using second = await startGateway("all", env);
      await expect(second.address("control", "http")).rejects.toThrow(
        `the data folder ${folder.path} is in use by another gateway`,
      );
    }
    await using third = await startGateway("all", env);
    using _ = (await login(await readyAll(third), "d1")).client;
  },
);

test(
  "a gateway that was killed leaves no nats-server behind, and another starts on its folder",
  LONG,
  async () => {
    await using folder = await tempFolder();
    const env = { HOLDFAST_DATA_DIR: folder.path };
    await using killed = await startGateway("all", env);
    await readyAll(killed);
    const pid = await natsPid(folder.path);
    expect(await recordOf(pid)).toBeDefined();

    await killed.stop("SIGKILL");
    await eventually("its nats-server is gone", async () => (await recordOf(pid)) === undefined);

    await using next = await startGateway("all", env);
    using _ = (await login(await readyAll(next), "d1")).client;
  },
);

test("a gateway that is asked to stop says goodbye to its clients and takes its nats-server along", async () => {
  await using folder = await tempFolder();
  await using gateway = await startGateway("all", { HOLDFAST_DATA_DIR: folder.path });
  const { client } = await login(await readyAll(gateway), "d1");
  const pid = await natsPid(folder.path);

  await gateway.stop("SIGTERM");
  expect(gateway.child.exitCode).toBe(0);
  expect(await client.next("close")).toMatchObject({ code: 4000 });
  expect(await client.ended()).toBe(4000);
  expect(await recordOf(pid)).toBeUndefined();
});

test.each(["/proc/holdfast", "/proc/holdfast/data"])(
  "a data folder %s that cannot be is a clear error, at once",
  LONG,
  async (path) => {
    await using gateway = await startGateway("all", { HOLDFAST_DATA_DIR: path });
    await expect(gateway.address("control", "http")).rejects.toThrow(
      `--data-dir (HOLDFAST_DATA_DIR): ${path} cannot be written to`,
    );
    expect(gateway.child.exitCode).toBe(1);
  },
);

test("a gateway that is asked to stop while it waits for its nats-server ends", LONG, async () => {
  await using folder = await tempFolder();
  const binary = join(folder.path, "nats-server");
  const script =
    '#!/bin/sh\n[ "$1" = --version ] && echo "nats-server: v2.15.1" || exec sleep 600\n';
  await writeFile(binary, script, { mode: 0o755 });
  await using gateway = await startGateway("all", {
    HOLDFAST_DATA_DIR: join(folder.path, "data"),
    HOLDFAST_NATS_SERVER: binary,
  });
  await eventually("its nats-server is started", () =>
    natsPid(join(folder.path, "data")).catch(() => undefined),
  );
  const pid = await natsPid(join(folder.path, "data"));

  await gateway.stop("SIGTERM");

  expect(gateway.lines.some(({ msg }) => msg === "could not stop in time")).toBe(true);
  await eventually("its nats-server is gone", async () => (await recordOf(pid)) === undefined);
});

test("a role that is asked to stop while its NATS is away ends in good order", async () => {
  await using nats = await testNats();
  await nats.stop();
  await using gateway = await startGateway("push", { HOLDFAST_NATS_URL: nats.url });
  await eventually("it says that NATS is away", () =>
    gateway.lines.some(({ msg }) => msg === "waiting for NATS"),
  );
  await gateway.stop("SIGTERM");
  expect(gateway.child.exitCode).toBe(0);
});

test("an option out of range ends the start with its name and its range", async () => {
  await using gateway = await startGateway("all", { HOLDFAST_PARTITIONS: "0" });
  await expect(gateway.address("control", "http")).rejects.toThrow(
    /HOLDFAST_PARTITIONS must be a whole number from 1 to 1024, not "0"/,
  );
  expect(gateway.child.exitCode).toBe(1);
});

test("a role whose NATS is away says so, waits, and goes on when it comes", async () => {
  await using nats = await testNats();
  await nats.stop();
  await using gateway = await startGateway("push", { HOLDFAST_NATS_URL: nats.url });
  await eventually("it says that NATS is away", () =>
    gateway.lines.some(({ msg }) => msg === "waiting for NATS"),
  );
  await nats.start();
  await ready(await gateway.address("push", "http"));
});

test("a NATS without JetStream is refused with a clear error", async () => {
  await using nats = await testNats({ config: { jetstream: undefined } });
  await using gateway = await startGateway("control", { HOLDFAST_NATS_URL: nats.url });
  await expect(gateway.address("control", "http")).rejects.toThrow(/JetStream/);
  expect(gateway.child.exitCode).toBe(1);
});

test("a port that is taken ends the start with a clear error", async () => {
  await using nats = await testNats();
  const listen = `127.0.0.1:${await freePort()}`;
  const env = { HOLDFAST_NATS_URL: nats.url, HOLDFAST_CONTROL_LISTEN: listen };
  await using first = await startGateway("control", env);
  await first.address("control", "http");
  await using second = await startGateway("control", env);
  await expect(second.address("control", "http")).rejects.toThrow(`cannot listen on ${listen}`);
});
