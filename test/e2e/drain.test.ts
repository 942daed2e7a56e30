/** Two access nodes, of which one is emptied: its clients are on the other before they leave it. The same when one is stopped. */
import { expect, test } from "vitest";
import { connect, type Status } from "../../sdk/index.ts";
import { startDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { admit, call, DEV_KEY } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";

const ADMIN = "holdfast.admin.v1.AdminService/";
const CLIENTS = 12;
const ALL_AT_WORK_MS = 100_000;

interface ShownNode {
  node: string;
  name: string;
  draining?: boolean;
  drainedFrom?: number;
  connections?: number;
}

test("a node that is drained is given out no more, and its clients move without a moment offline", {
  timeout: 4 * ALL_AT_WORK_MS,
}, async () => {
  await using nats = await testNats();
  await using deployment = await startDeployment({
    natsUrls: [nats.url],
    access: 2,
    projectors: 1,
    env: { HOLDFAST_LABELS: "region=eu", HOLDFAST_DRAIN_SECONDS: "15" },
  });
  const { controlUrl } = deployment;
  const admin = <T>(method: string, body: object = {}) =>
    call<T>(controlUrl, ADMIN + method, body, DEV_KEY);
  const nodeOf = async (name: string) => {
    const { nodes } = await admin<{ nodes: ShownNode[] }>("ListNodes");
    return nodes.find((node) => node.name === name);
  };
  expect(await nodeOf("access1")).toMatchObject({ labels: { region: "eu" }, weight: 100 });

  await using clients = new AsyncDisposableStack();
  const statuses: Status[][] = [];
  const advised: string[][] = [];
  for (let index = 0; index < CLIENTS; index++) {
    const device = `mover${index}`;
    const client = clients.use(connect({ admit: controlUrl, app: "demo", device, user: "u" }));
    const seen: Status[] = [];
    statuses.push(seen);
    client.on("status", (status) => void seen.push(status));
    client.on("frame", ({ body }) => {
      if (body.case === "drain") advised.push(body.value.reconnect?.endpoints ?? []);
    });
  }
  const nodes = () => statuses.map((seen) => nodeNameOf(seen.at(-1)));
  await eventually("all are online", () => nodes().every((name) => name !== undefined));
  // The one with more of them, so that there is somebody to move.
  const on = (name: string) => nodes().filter((one) => one === name).length;
  const [from, to] =
    on("access1") > on("access2") ? ["access1", "access2"] : ["access2", "access1"];
  const moving = on(from);
  const member = deployment.access.find(({ name }) => name === from)!;
  const metrics = await member.process.address("access", "metrics");
  const readyz = async () => (await fetch(`${metrics}/readyz`)).status;
  expect(await readyz()).toBe(200);

  const before = statuses.map((seen) => seen.length);
  // At the start nobody is served yet, and some had to come again.
  const offlineSince = (from: readonly number[]) =>
    statuses.flatMap((seen, index) =>
      seen.slice(from[index]).filter(({ state }) => state !== "online"),
    );
  await admin("DrainNode", { node: from, overSeconds: 20 });
  await eventually("it is not ready", async () => (await readyz()) === 503);
  await eventually("its beats say how many are to go", async () => {
    const node = await nodeOf(from);
    return node?.draining === true && node.drainedFrom === moving;
  });
  const offered = await admit(controlUrl, "newcomer");
  expect(offered.endpoints.every(({ node }) => node.startsWith(`${to}-`))).toBe(true);

  await eventually("all are on the other", () => on(to) === CLIENTS, { withinMs: ALL_AT_WORK_MS });
  await eventually("it is empty", async () => (await nodeOf(from))?.connections === undefined);
  const other = deployment.access.find(({ name }) => name === to)!;
  expect(advised).toEqual(Array.from({ length: moving }, () => [other.wsUrl]));
  expect(offlineSince(before)).toEqual([]);

  await admin("UndrainNode", { node: from });
  await eventually("it is ready again", async () => (await readyz()) === 200);
  await eventually("it is given out again", async () => {
    const { endpoints } = await admit(controlUrl, "newcomer");
    return endpoints.some(({ node }) => node.startsWith(`${from}-`));
  });
  const afterwards = statuses.map((seen) => seen.length);
  await other.process.stop("SIGTERM");
  await eventually("all are back", () => on(from) === CLIENTS, { withinMs: ALL_AT_WORK_MS });
  expect(offlineSince(afterwards)).toEqual([]);
});

function nodeNameOf(status: Status | undefined): string | undefined {
  return status?.state === "online" ? status.node.split("-")[0] : undefined;
}
