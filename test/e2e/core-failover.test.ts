/** What devices and their routes go through when projectors, NATS or the route bucket fail. */
import { isDeepStrictEqual } from "node:util";
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { getDevices, push } from "../support/api.ts";
import { type Deployment, startDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { ready } from "../support/gateway.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { patient } from "../support/patience.ts";
import { connectFleet, deviceNames, type FleetDevice, shownOnline, whereabouts } from "./fleet.ts";

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

/** Devices on both access nodes. */
async function connectEverywhere(prefix: string, count: number): Promise<FleetDevice[]> {
  const { controlUrl, access } = deployment;
  const fleets = access.map((node, index) =>
    connectFleet(controlUrl, node.wsUrl, deviceNames(`${prefix}-${index + 1}-`, count / 2)),
  );
  return (await Promise.all(fleets)).flat();
}

async function routesAre(online: readonly FleetDevice[], gone: readonly FleetDevice[] = []) {
  const names = [...online, ...gone].map(({ name }) => name);
  const shown = whereabouts(await getDevices(deployment.pushUrl, names));
  const offline = gone.map(({ name }) => ({ device: name, online: false }));
  return isDeepStrictEqual(shown, [...shownOnline(online), ...offline]);
}

/** `count` devices are enough for every partition to see one come and one go. */
const ENOUGH_FOR_EVERY_PARTITION = 120;

test("kill -9 of a projector lets the other take over, with no route wrong", {
  timeout: patient(90_000),
}, async () => {
  for (const victim of deployment.projectors) {
    const leaving = await connectEverywhere(`leaving-${victim.name}`, ENOUGH_FOR_EVERY_PARTITION);
    const staying = await connectEverywhere(`staying-${victim.name}`, 20);

    await victim.kill();
    // Nobody folds these for some partitions until they have a new owner.
    await Promise.all(leaving.map(({ client }) => client.close()));
    const coming = await connectEverywhere(`coming-${victim.name}`, ENOUGH_FOR_EVERY_PARTITION);
    const online = [...staying, ...coming];
    // How soon is a matter for the bench: `npm run bench -- takeover`.
    await eventually("every route is right", () => routesAre(online, leaving));
    await eventually(
      "the other one owns every partition",
      async () => (await projectorsAtWork()) === 1,
    );
    expect(await routesAre(online, leaving)).toBe(true);

    await victim.start();
    await eventually(
      "both own partitions again",
      async () => (await projectorsAtWork()) === deployment.projectors.length,
    );
    expect(await routesAre(online, leaving)).toBe(true);
    await Promise.all(online.map(({ client }) => client.close()));
  }
});

test("kill -9 and restart of nats-server drops no client, and pushes work within 10 s of its return", async () => {
  const fleet = await connectEverywhere("through", 40);
  const names = fleet.map(({ name }) => name);

  await nats.kill();
  await eventually("a push says that NATS is away", () =>
    push(deployment.pushUrl, "Devices", names, "lost")
      .then((results) => results.every(({ status }) => status !== "SENT"))
      .catch(() => true),
  );
  await nats.start();
  await eventually(
    "pushes are sent again",
    async () => {
      const results = await push(deployment.pushUrl, "Devices", names, "again").catch(() => []);
      return results.length > 0 && results.every(({ status }) => status === "SENT");
    },
    { withinMs: 10_000 },
  );

  await ready(deployment.controlUrl, 10_000);
  for (const { client } of fleet) {
    expect((await client.next("push")).message?.payload.value).toBe("again");
  }
  expect(fleet.filter(({ ended }) => ended)).toEqual([]);
  await eventually("every route is right", () => routesAre(fleet));
  await Promise.all(fleet.map(({ client }) => client.close()));
});

test.each([
  ["purged with its stream", purgeRoutes],
  ["deleted key by key", deleteRoutes],
])(
  "routes that were %s are rebuilt for every connected device when the projectors restart",
  {
    timeout: patient(90_000),
  },
  async (how, empty) => {
    const fleet = await connectEverywhere(`rebuilt ${how} `, 40);
    await eventually("their routes are in the bucket", async () => bucketHas(fleet));

    await empty();
    for (const projector of deployment.projectors) {
      await projector.process.stop();
      await projector.start();
    }

    await eventually("their routes are in the bucket again", () => bucketHas(fleet), {
      withinMs: 60_000,
      everyMs: 250,
    });
    expect(await routesAre(fleet)).toBe(true);
    for (const { status } of await push(
      deployment.pushUrl,
      "Devices",
      fleet.map(({ name }) => name),
      "found",
    )) {
      expect(status).toBe("SENT");
    }
    expect(fleet.filter(({ ended }) => ended)).toEqual([]);
    await Promise.all(fleet.map(({ client }) => client.close()));
  },
);

async function purgeRoutes(): Promise<void> {
  await using connection = await connect({ servers: nats.url });
  await (await jetstreamManager(connection)).streams.purge("KV_hf_route");
}

async function deleteRoutes(): Promise<void> {
  await using connection = await connect({ servers: nats.url });
  const bucket = await new Kvm(connection).open("hf_route");
  const keys: string[] = [];
  for await (const key of await bucket.keys()) keys.push(key);
  for (const key of keys) await bucket.delete(key);
}

/** Read with a plain NATS client, as anybody could. */
async function bucketHas(fleet: readonly FleetDevice[]): Promise<boolean> {
  const connections = new Map<string, string>();
  for (const route of await valuesOf("hf_route")) {
    if (route.online) connections.set(String(route.device), String(route.connection));
  }
  return fleet.every(({ name, connectionId }) => connections.get(name) === connectionId);
}

/** How many projectors share the partitions. */
async function projectorsAtWork(): Promise<number> {
  return new Set((await valuesOf("hf_lease")).map(({ owner }) => owner)).size;
}

async function valuesOf(name: string): Promise<Record<string, unknown>[]> {
  await using connection = await connect({ servers: nats.url });
  const bucket = await new Kvm(connection).open(name);
  const values: Record<string, unknown>[] = [];
  for await (const key of await bucket.keys()) {
    const entry = await bucket.get(key);
    if (entry?.operation === "PUT") values.push(entry.json());
  }
  return values;
}
