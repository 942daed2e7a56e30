/** Two apps on one deployment: each has its keys and its devices, and none of the other's. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Admission,
  call,
  DEV_KEY,
  type GatewayProcess,
  ready,
  startGateway,
} from "../support/gateway.ts";
import { loginJson } from "../support/json-client.ts";

const ADMIN_KEY = "operator";
const PUSH = "holdfast.push.v1.PushService/";
const DIRECTORY = "holdfast.directory.v1.DirectoryService/";
const REGISTRY = "holdfast.business.v1.BusinessRegistryService/";

let gateway: GatewayProcess;
let controlUrl: string;
let pushUrl: string;
/** Of app "shop", made by the command line. */
let shopKey: string;

beforeAll(async () => {
  gateway = await startGateway("all", { HOLDFAST_ADMIN_KEY: ADMIN_KEY });
  controlUrl = await gateway.address("control", "http");
  pushUrl = await gateway.address("push", "http");
  await Promise.all([ready(controlUrl), ready(pushUrl)]);
  const made = JSON.parse((await holdfast("app", "create", "shop", "--json")).stdout);
  expect(made).toMatchObject({ app: { app: "shop", admission: "key" } });
  shopKey = made.key.secret;
});
afterAll(() => gateway?.[Symbol.asyncDispose]());

async function holdfast(...args: string[]) {
  const listen = new URL(controlUrl).host;
  const env = {
    ...process.env,
    HOLDFAST_CONTROL_LISTEN: listen,
    HOLDFAST_ADMIN_KEY: ADMIN_KEY,
    HOLDFAST_DEV_KEY: "",
  };
  return promisify(execFile)(process.execPath, ["cmd/holdfast.ts", ...args], { env }).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: "" }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

async function join(app: string, key: string, device: string, user = "") {
  const admission = await call<Admission>(
    controlUrl,
    "holdfast.control.v1.ControlService/Admit",
    { app, device, user },
    key,
  );
  const endpoint = admission.endpoints.find(({ protocol }) => protocol === "websocket");
  return loginJson(endpoint?.url ?? "", admission.token);
}

test("the embedded NATS is used with its printed address as it is, and its secrets with the user printed beside it", async () => {
  const line = gateway.lines.find(({ transport }) => transport === "nats");
  const { address, user, password } = line as Record<string, string>;
  const signingKeys = async (login: object) => {
    await using nc = await connect({ servers: address!, ...login });
    const jsm = await jetstreamManager(nc);
    expect((await jsm.streams.info("HF_UPLINK")).config.name).toBe("HF_UPLINK");
    return (await jsm.streams.getMessage("KV_hf_key", { last_by_subj: "$KV.hf_key.>" }))?.seq;
  };
  await expect(signingKeys({})).rejects.toThrow(/permission/i);
  expect(await signingKeys({ user, pass: password })).toBeGreaterThan(0);
  // A role beside it finds the password in the data folder.
  const dataDir = gateway.dataDir;
  await using role = await startGateway("control", {
    HOLDFAST_NATS_URL: address!,
    HOLDFAST_DATA_DIR: dataDir,
  });
  expect(await role.address("control", "http")).toMatch(/^http/);
});

describe("an app made on a running deployment", () => {
  test("pushes with its own key to its own devices, and to no other app's of the same name", async () => {
    const demo = await join("demo", DEV_KEY, "phone", "alice");
    const shop = await join("shop", shopKey, "phone", "alice");
    const message = { business: "orders", text: "for the shop" };
    for (const [method, targets] of [
      ["PushToDevices", { devices: ["phone"] }],
      ["PushToUsers", { users: ["alice"] }],
    ] as const) {
      const { results } = await call<{ results: unknown[] }>(
        pushUrl,
        PUSH + method,
        { app: "shop", ...targets, message },
        shopKey,
      );
      expect(results).toMatchObject([{ status: "SENT" }]);
      expect(await shop.client.next("push")).toMatchObject({ message: { text: "for the shop" } });
    }
    await call(pushUrl, `${PUSH}Broadcast`, { app: "shop", message }, shopKey);
    await shop.client.next("push");
    // A push of its own arrives, so anything else would have by now.
    const own = { app: "demo", devices: ["phone"], message: { business: "chat", text: "own" } };
    await call(pushUrl, `${PUSH}PushToDevices`, own);
    expect(await demo.client.next("push")).toMatchObject({ message: { text: "own" } });
    demo.client[Symbol.dispose]();
    shop.client[Symbol.dispose]();
  });

  test("is dispatched, and its clients sent to canaries, as the command line says", async () => {
    const { stdout: set } = await holdfast("app", "set", "shop", "--dispatch", "device", "--json");
    expect(JSON.parse(set)).toMatchObject({ admission: "key", dispatch: "device" });
    const rule = ["--nodes", "pool=canary", "--percent", "5%", "--platform", "ios"];
    const made = await holdfast("canary", "set", "beta", ...rule, "--app", "shop");
    expect(made.stdout).toMatch(/^beta {2}5% {2}to pool=canary {2}app shop {2}platforms ios\n/);
    expect(made.stdout).toContain("no live node has these labels yet");
    const listed = JSON.parse((await holdfast("canary", "list", "--json")).stdout);
    expect(listed).toMatchObject({ name: "beta", percent: 5, nodes: { pool: "canary" } });
    for (const [flag, value] of [
      ["--percent", "500"],
      ["--nodes", "canary"],
    ] as const) {
      const { code, stderr } = await holdfast("canary", "set", "beta", ...rule, flag, value);
      expect([code, stderr]).toEqual([1, expect.stringContaining(flag)]);
    }
    expect((await holdfast("canary", "delete", "beta")).code).toBe(0);
    expect(await holdfast("canary", "delete", "beta")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("there is no canary rule beta"),
    });
    expect((await holdfast("nodes")).stdout).toMatch(/^\S+-\w+ {2}\d+ connections\n$/);
  });

  const message = { business: "b", text: "x" };
  const trials: [string, object][] = [
    [`${PUSH}PushToDevices`, { devices: ["d"], message }],
    [`${PUSH}PushToUsers`, { users: ["u"], message }],
    [`${PUSH}PushToRooms`, { rooms: ["r"], message }],
    [`${PUSH}PushToZones`, { zones: ["z"], message }],
    [`${PUSH}Broadcast`, { message }],
    [`${DIRECTORY}GetDevices`, { devices: ["d"] }],
    [`${DIRECTORY}GetUsers`, { users: ["u"] }],
    [`${DIRECTORY}GetRooms`, { rooms: ["r"] }],
    [`${DIRECTORY}ListRoomMembers`, { room: "r" }],
    [`${DIRECTORY}ListNodes`, {}],
    [`${DIRECTORY}KickDevices`, { devices: ["d"] }],
    [`${DIRECTORY}JoinRoom`, { room: "r", devices: ["d"] }],
    [`${DIRECTORY}LeaveRoom`, { room: "r", devices: ["d"] }],
    [`${DIRECTORY}SetRoom`, { room: "r", zone: "z" }],
    [`${DIRECTORY}GetMessage`, { messageId: "m" }],
    [`${REGISTRY}SetBusiness`, { business: { business: "b", mode: "REQUEST" } }],
    [`${REGISTRY}GetBusiness`, { business: "b" }],
    [`${REGISTRY}ListBusinesses`, {}],
    [`${REGISTRY}DeleteBusiness`, { business: "b" }],
  ];
  test.each(trials)("%s takes neither app's key for the other", async (method, body) => {
    await expect(call(pushUrl, method, { app: "demo", ...body }, shopKey)).rejects.toThrow(/: 401/);
    await expect(call(pushUrl, method, { app: "shop", ...body }, DEV_KEY)).rejects.toThrow(/: 401/);
    await expect(call(pushUrl, method, { app: "nobody", ...body }, shopKey)).rejects.toThrow(
      /: 401/,
    );
  });

  test("is admitted to with its own key only, and its tokens name it alone", async () => {
    const admit = (app: string, key: string | null) =>
      call(controlUrl, "holdfast.control.v1.ControlService/Admit", { app, device: "d" }, key);
    await expect(admit("shop", null)).rejects.toThrow(/: 401/);
    await expect(admit("shop", DEV_KEY)).rejects.toThrow(/: 401/);
    await expect(admit("shop", ADMIN_KEY)).rejects.toThrow(/: 401/);
    await expect(admit("shop", shopKey)).resolves.toBeDefined();
  });

  test("has keys with a scope", async () => {
    const made = await holdfast(
      ...["key", "create", "shop", "--name", "orders", "--json"],
      ...["--rpc", "PushToUsers", "--business", "orders", "--target-prefix", "eu-"],
    );
    const { secret, id } = JSON.parse(made.stdout).key;
    const push = (method: string, body: object) =>
      call(pushUrl, PUSH + method, { app: "shop", ...body }, secret);
    await expect(
      push("PushToUsers", { users: ["eu-1"], message: { business: "orders", text: "x" } }),
    ).resolves.toBeDefined();
    await expect(
      push("PushToUsers", { users: ["us-1"], message: { business: "orders", text: "x" } }),
    ).rejects.toThrow(/: 403.*us-1/);
    await expect(
      push("PushToUsers", { users: ["eu-1"], message: { business: "chat", text: "x" } }),
    ).rejects.toThrow(/: 403.*business/);
    await expect(push("PushToRooms", { rooms: ["eu-1"], message })).rejects.toThrow(
      /: 403.*PushToRooms/,
    );
    expect((await holdfast("key", "list", "shop")).stdout).toMatch(/orders.*PushToUsers.*eu-\*/);
    expect((await holdfast("key", "revoke", "shop", id)).code).toBe(0);
    await expect
      .poll(() => push("PushToUsers", { users: ["eu-1"], message }).catch(String))
      .toMatch(/: 401/);
  });
});

describe("revocation", () => {
  test("closes a user's connections, and no others, and refuses the tokens they had", async () => {
    const [one, two, other] = await Promise.all([
      join("shop", shopKey, "r1", "mallory"),
      join("shop", shopKey, "r2", "mallory"),
      join("shop", shopKey, "r3", "alice"),
    ]);
    const done = await holdfast("revoke", "shop", "--user", "mallory", "--json");
    expect(JSON.parse(done.stdout)).toEqual({ revoked: 1 });
    expect(await one.client.next("close")).toMatchObject({ code: 4101 });
    expect(await two.client.next("close")).toMatchObject({ code: 4101 });
    expect(other.client.closed).toBe(false);
    other.client[Symbol.dispose]();
    // Whom the app lets in again is in again.
    const again = await join("shop", shopKey, "r1", "mallory");
    again.client[Symbol.dispose]();
  });

  test("of an app that is deleted closes everybody", async () => {
    const { key } = JSON.parse((await holdfast("app", "create", "short", "--json")).stdout);
    const { client } = await join("short", key.secret, "d");
    expect((await holdfast("app", "delete", "short")).code).toBe(0);
    expect(await client.next("close")).toMatchObject({ code: 4101 });
    await expect(join("short", key.secret, "d")).rejects.toThrow(/: 401/);
  });
});

test("a key that is rotated interrupts nobody", async () => {
  const { client } = await join("shop", shopKey, "steady");
  const { kid } = JSON.parse((await holdfast("key", "rotate", "--json")).stdout);
  expect(kid).toMatch(/^[0-9a-f]+$/);
  const next = await join("shop", shopKey, "steady-2");
  expect(client.closed).toBe(false);
  next.client[Symbol.dispose]();
  client[Symbol.dispose]();
});

test("without the operator's key, nothing is told and nothing is done", async () => {
  const denied = await holdfast("app", "list", "--key", "wrong");
  expect(denied).toMatchObject({ code: 1, stderr: expect.stringContaining("operator key") });
  expect((await holdfast("app", "create", "shop")).stderr).toMatch(/already/);
});
