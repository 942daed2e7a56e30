/** What becomes of devices when the access node that holds them dies, or is held and let go. */
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { getDevices, listNodes, push } from "../support/api.ts";
import { type Deployment, startDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { patient } from "../support/patience.ts";
import { connectFleet, deviceNames, shownOnline, whereabouts } from "./fleet.ts";

let nats: TestNats;
let deployment: Deployment;

beforeAll(async () => {
  nats = await testNats();
  deployment = await startDeployment({ natsUrls: [nats.url], access: 2, projectors: 2 });
});
afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
});

test("kill -9 of an access node takes its devices offline, and only its own", async () => {
  const { controlUrl, pushUrl, access } = deployment;
  const [doomed, other] = access;
  const lost = await connectFleet(controlUrl, doomed!.wsUrl, deviceNames("lost", 20));
  const kept = await connectFleet(controlUrl, other!.wsUrl, deviceNames("kept", 5));
  const lostNames = lost.map(({ name }) => name);

  await doomed!.kill();
  await eventually(
    "its devices are offline",
    async () => (await getDevices(pushUrl, lostNames)).every(({ online = false }) => !online),
    { withinMs: 8_000 },
  );

  for (const { offlineReason } of await getDevices(pushUrl, lostNames)) {
    expect(offlineReason).toBe("node-down");
  }
  for (const { status } of await push(pushUrl, "Devices", lostNames, "nobody there")) {
    expect(status).toBe("OFFLINE");
  }
  const shown = await getDevices(
    pushUrl,
    kept.map(({ name }) => name),
  );
  expect(whereabouts(shown)).toEqual(shownOnline(kept));

  await doomed!.start();
  await eventually("the node is back", async () => (await listNodes(pushUrl)).length === 2);
  const back = await connectFleet(controlUrl, doomed!.wsUrl, lostNames);
  expect(whereabouts(await getDevices(pushUrl, lostNames))).toEqual(shownOnline(back));
  await Promise.all([...back, ...kept].map(({ client }) => client.close()));
});

test("an access node that was held for 20 s keeps its clients under a new incarnation, but not those that have moved", {
  timeout: patient(90_000),
}, async () => {
  const { controlUrl, pushUrl, access } = deployment;
  const [held, other] = access;
  const staying = await connectFleet(controlUrl, held!.wsUrl, deviceNames("staying", 10));
  const moving = await connectFleet(controlUrl, held!.wsUrl, deviceNames("moving", 3));
  const names = [...staying, ...moving].map(({ name }) => name);
  const before = staying[0]!.node;

  held!.freeze();
  const heldAt = performance.now();
  await eventually(
    "the held node is declared dead",
    async () => (await getDevices(pushUrl, names)).every(({ online = false }) => !online),
    { withinMs: 8_000 },
  );
  const moved = await connectFleet(
    controlUrl,
    other!.wsUrl,
    moving.map(({ name }) => name),
  );
  await eventually("20 s are over", () => performance.now() - heldAt > 20_000);
  held!.thaw();

  for (const device of staying) {
    const welcome = await device.client.next("welcome", 15_000);
    device.connectionId = welcome.connectionId;
    device.node = welcome.node;
    expect(welcome.node).not.toBe(before);
  }
  await eventually("everybody is shown where they are", async () => {
    const shown = whereabouts(await getDevices(pushUrl, names));
    return isDeepStrictEqual(shown, shownOnline([...staying, ...moved]));
  });
  for (const { client } of moving) {
    expect(await client.next("close")).toMatchObject({ code: 4210 });
    await client.ended;
  }
  for (const { status } of await push(pushUrl, "Devices", names, "welcome back")) {
    expect(status).toBe("SENT");
  }
  for (const { client } of [...staying, ...moved]) {
    expect((await client.next("push")).message?.payload.value).toBe("welcome back");
  }
  expect([...staying, ...moved].filter(({ ended }) => ended)).toEqual([]);
  await Promise.all([...staying, ...moved].map(({ client }) => client.close()));
});
