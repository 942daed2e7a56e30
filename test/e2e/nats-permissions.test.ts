/** A nats-server as `holdfast nats-config` sets it up: the gateway and a business server do their work, and no more. */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBusiness, type StateEvent } from "../../sdk/node-business.ts";
import { stateConsumer, uplinkConsumer } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { admit, DEV_KEY, type GatewayProcess, ready, startGateway } from "../support/gateway.ts";
import { loginJson } from "../support/json-client.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { tempFolder } from "../support/temp-folder.ts";

interface User {
  user: string;
  password: string;
}

const own = { app: "demo", business: "a_b" };
let folder: Awaited<ReturnType<typeof tempFolder>>;
let nats: TestNats;
let gateway: GatewayProcess;
let roles: User;
let business: User;
let controlUrl: string;
let pushUrl: string;

async function natsConfig(...more: string[]): Promise<{ users: User[]; stdout: string }> {
  const named = ["--business", "a_b", "--app", "other", "--business", "shop"];
  const args = ["cmd/holdfast.ts", "nats-config", ...named, ...more];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return { stdout, users: JSON.parse(stdout.slice(stdout.indexOf("{"))).authorization.users };
}

beforeAll(async () => {
  folder = await tempFolder();
  const { users } = await natsConfig("--password-file", join(folder.path, "passwords"));
  [roles, business] = users as [User, User];
  nats = await testNats({ config: { authorization: { users } } });
  gateway = await startGateway("all", {
    HOLDFAST_NATS_URL: nats.url,
    HOLDFAST_NATS_USER: roles.user,
    HOLDFAST_NATS_PASSWORD: roles.password,
  });
  controlUrl = await gateway.address("control", "http");
  pushUrl = await gateway.address("push", "http");
  await Promise.all([ready(controlUrl), ready(pushUrl)]);
});
afterAll(async () => {
  await gateway?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const login = () => ({
  natsUrl: nats.url,
  natsUser: business.user,
  natsPassword: business.password,
});

async function joined(device: string) {
  const { token, endpoints } = await admit(controlUrl, device);
  const url = endpoints.find(({ protocol }) => protocol === "websocket")?.url ?? "";
  return loginJson(url, token);
}

test("the gateway serves with its user, and without one it is refused", async () => {
  const { client } = await joined("first");
  client[Symbol.dispose]();
  await expect(connect({ servers: nats.url, reconnect: false })).rejects.toThrow(/Authorization/);
  expect(gateway.output.join("\n")).not.toContain(roles.password);
});

test("a password file keeps the passwords, and is for its owner only", async () => {
  const file = join(folder.path, "passwords");
  const again = await natsConfig("--password-file", file);
  expect(again.users.map(({ password }) => password).slice(0, 2)).toEqual([
    roles.password,
    business.password,
  ]);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test("a business server takes stored uplinks, answers requests and follows state, with its user", async () => {
  const events: StateEvent[] = [];
  const all: StateEvent[] = [];
  const stored: (string | undefined)[] = [];
  const options = { ...own, pushUrl, key: DEV_KEY, ...login(), instance: "2" };
  await using server = await openBusiness(options);
  await server.onState((event) => void events.push(event), { scope: "app" });
  await server.onState((event) => void all.push(event), { scope: "app", everyInstance: true });
  await server.register({ mode: "stream" });
  await server.onUplink(({ text }) => void stored.push(text));
  const { client } = await joined("worker");
  const uplink = (text: string) => ({
    uplink: { business: "a_b", requestId: text, text, wantReply: true },
  });
  let turn = 0;
  await eventually(
    "the uplink is handled",
    () => {
      turn += 1;
      client.send(uplink(`stored ${turn}`));
      return stored.length > 0;
    },
    { everyMs: 500 },
  );
  const online = (event: StateEvent) => event.device === "worker" && event.event === "online";
  await eventually("the event is there", () => events.some(online) && all.some(online));

  await using answering = await openBusiness(options);
  await answering.register({ mode: "request" });
  await answering.onUplink(async ({ text }) => {
    // Long enough that "taken" goes ahead of the answer: two messages to one inbox.
    await new Promise((done) => setTimeout(done, 100));
    return { text: `you said ${text}` };
  });
  await eventually("the request is answered", async () => {
    turn += 1;
    client.send(uplink(`ask ${turn}`));
    const reply = (await client.next("uplinkReply")) as { text?: string };
    return reply.text?.startsWith("you said ask ");
  });
  client[Symbol.dispose]();
});

describe("a business's user", () => {
  let nc: NatsConnection;
  const refused = async (work: Promise<unknown>) => {
    await expect(work).rejects.toThrow(/permission/i);
  };
  const request = (subject: string, body: object = {}) =>
    nc.request(subject, JSON.stringify(body), { timeout: 2_000 });

  beforeAll(async () => {
    nc = await connect({
      servers: nats.url,
      user: business.user,
      pass: business.password,
      inboxPrefix: "_INBOX_demo.a_b",
    });
    // There are things to steal.
    await using all = await connect({ servers: nats.url, user: roles.user, pass: roles.password });
    const js = jetstream(all);
    await js.publish("hf.up.other.shop", "secret");
    await js.publish("hf.state.other.conn.online.phone", "secret");
    const jsm = await jetstreamManager(all);
    for (const [stream, durable, filter] of [
      ["HF_UPLINK", uplinkConsumer("other", "shop"), "hf.up.other.shop"],
      ["HF_STATE", stateConsumer("other", "shop", "app"), "hf.state.other.conn.>"],
    ] as const) {
      const config = { durable_name: durable, filter_subject: filter };
      await jsm.consumers.add(stream, { ...config, ack_policy: AckPolicy.Explicit });
    }
  });
  afterAll(() => nc?.close());

  const CREATE = "$JS.API.CONSUMER.CREATE";
  const up = uplinkConsumer(own.app, own.business);

  test.each([
    ["read the signing keys", "$JS.API.STREAM.MSG.GET.KV_hf_key"],
    ["read them directly", "$JS.API.DIRECT.GET.KV_hf_key.$KV.hf_key.current"],
    ["consume them", `${CREATE}.KV_hf_key.x`],
    ["write them", "$KV.hf_key.current"],
    ["read the apps", "$JS.API.STREAM.MSG.GET.KV_hf_app"],
    ["read any uplink", "$JS.API.STREAM.MSG.GET.HF_UPLINK"],
    ["read the last uplink of another app", "$JS.API.DIRECT.GET.HF_UPLINK.hf.up.other.shop"],
    ["use another's consumer", "$JS.API.CONSUMER.MSG.NEXT.HF_UPLINK.up_other_shop"],
    ["use another's consumer of state", "$JS.API.CONSUMER.MSG.NEXT.HF_STATE.state_app_other_shop"],
    ["consume all uplinks", `${CREATE}.HF_UPLINK`],
    ["consume under its name without the filter", `${CREATE}.HF_UPLINK.${up}`],
    ["consume another's uplinks", `${CREATE}.HF_UPLINK.${up}.hf.up.other.shop`],
    ["take over another's consumer", `${CREATE}.HF_UPLINK.up_other_shop.hf.up.demo.a_b`],
    ["consume the old way", "$JS.API.CONSUMER.DURABLE.CREATE.HF_UPLINK.up_x"],
    ["consume another app's state", `${CREATE}.HF_STATE.x.hf.state.other.>`],
    ["make a stream", "$JS.API.STREAM.CREATE.COPY"],
    ["purge a stream", "$JS.API.STREAM.PURGE.HF_UPLINK"],
    ["delete a message", "$JS.API.STREAM.MSG.DELETE.HF_UPLINK"],
    ["delete a stream", "$JS.API.STREAM.DELETE.HF_UPLINK"],
    ["forge a record", "hf.log.0.events.x"],
    ["give orders to nodes", "hf.nodes.ctl"],
    ["forge uplinks", "hf.up.demo.a_b"],
    ["ask another business", "hf.rpc.other.shop"],
  ])("may not %s", async (_, subject) => {
    await refused(request(subject));
  });

  test("may not give its consumer's subject one filter and the server another", async () => {
    const config = { durable_name: up, ack_policy: "explicit", filter_subject: "hf.up.other.shop" };
    const subject = `${CREATE}.HF_UPLINK.${up}.hf.up.demo.a_b`;
    const answer = await request(subject, { stream_name: "HF_UPLINK", config, action: "" });
    expect(answer.json()).toHaveProperty("error");
  });

  test.each(["hf.state.other.>", "hf.up.>", "hf.rpc.other.shop", "_INBOX.>", "$KV.>", ">"])(
    "may not listen to %s",
    async (subject) => {
      const subscription = nc.subscribe(subject);
      await refused(subscription[Symbol.asyncIterator]().next());
    },
  );

  test("may listen to what happens in its app", async () => {
    const heard = nc.subscribe("hf.state.demo.>", { max: 1 });
    await nc.flush();
    const { client } = await joined("heard");
    client[Symbol.dispose]();
    for await (const message of heard) expect(message.subject).toMatch(/^hf\.state\.demo\./);
  });
});
