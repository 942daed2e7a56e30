import { expect, test } from "vitest";
import { getDevices, listNodes } from "../support/api.ts";
import { connectClient, type TestClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { admit, ready, startGateway } from "../support/gateway.ts";

const DEVICES = Array.from({ length: 24 }, (_, index) => `device-${index}`);

test("workers share one port as nodes of their own, and one that dies is replaced", async () => {
  await using gateway = await startGateway("all", {}, ["--workers", "2"]);
  const control = await gateway.address("control", "http");
  const push = await gateway.address("push", "http");
  await ready(control);
  await eventually("both workers are known", async () => (await listNodes(push)).length === 2);
  const { endpoints } = await admit(control, "any");
  expect(endpoints.filter(({ protocol }) => protocol === "websocket")).toHaveLength(1);

  await using connected = new AsyncDisposableStack();
  const clients = new Map<string, TestClient>();
  for (const device of DEVICES) {
    const { token, endpoints } = await admit(control, device);
    const client = connected.use(await connectClient({ url: endpoints[0]!.url }));
    client.send({ login: { token } });
    await client.next("welcome");
    clients.set(device, client);
  }
  const nodes = () => getDevices(push, DEVICES);
  const before = await nodes();
  const [one, two] = [...new Set(before.map(({ node }) => node))];
  expect(before.every(({ online }) => online)).toBe(true);
  // The kernel spreads 24 connections; all of them on one worker is a matter of one in 8 million.
  expect([one, two]).toEqual([expect.any(String), expect.any(String)]);

  const started = gateway.lines.find(({ worker }) => one!.startsWith(`${worker}-`));
  process.kill(Number(started?.pid), "SIGKILL");
  await eventually("its devices are offline, the others are not", async () => {
    const now = await nodes();
    return now.every(({ online }, index) => (online ?? false) === (before[index]!.node === two));
  });
  await eventually("another worker has taken its place", async () => {
    const names = await listNodes(push);
    return names.length === 2 && !names.includes(one!);
  });
});
