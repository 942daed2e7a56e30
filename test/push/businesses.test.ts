import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  BusinessRegistryService,
  Business_Mode as Mode,
} from "../../proto/gen/holdfast/business/v1/registry_pb.ts";
import { BUSINESS_DEFAULTS, decodeJson } from "../../streams/records.ts";
import { businessKey } from "../../streams/subjects.ts";
import { APP } from "./fake-cluster.ts";
import { API_KEY, type Served, serve, transportTo } from "./served.ts";

let served: Served;
let registry: Client<typeof BusinessRegistryService>;

beforeEach(async () => {
  served = await serve();
  registry = createClient(BusinessRegistryService, transportTo(served.server.url));
});
afterEach(() => served[Symbol.asyncDispose]());

const set = (business: object) =>
  registry.setBusiness({
    app: APP,
    business: { business: "chat", mode: Mode.REQUEST, ...business },
  });

describe("a business", () => {
  test("is registered with the defaults filled in, and shown as it is", async () => {
    const { business } = await set({ ordered: true, queue: 0 });
    expect(business).toMatchObject({
      business: "chat",
      mode: Mode.REQUEST,
      timeoutMs: BUSINESS_DEFAULTS.timeoutMs,
      concurrency: BUSINESS_DEFAULTS.concurrency,
      queue: 0,
      ordered: true,
    });
    expect((await registry.getBusiness({ app: APP, business: "chat" })).business).toEqual(business);
  });

  test("is replaced as a whole when it is set again", async () => {
    await set({ timeoutMs: 1_000, ordered: true });
    const { business } = await set({ mode: Mode.RPC, url: "http://127.0.0.1:7000" });
    expect(business).toMatchObject({
      mode: Mode.RPC,
      url: "http://127.0.0.1:7000",
      timeoutMs: BUSINESS_DEFAULTS.timeoutMs,
      ordered: false,
    });
  });

  test("is listed by name, and only among those of its app", async () => {
    await set({ business: "b.2" });
    await set({ business: "a" });
    await set({ business: "gone" });
    await registry.deleteBusiness({ app: APP, business: "gone" });
    const { businesses } = await registry.listBusinesses({ app: APP });
    expect(businesses.map(({ business }) => business)).toEqual(["a", "b.2"]);
  });

  test("can be deleted and registered again", async () => {
    await set({});
    await registry.deleteBusiness({ app: APP, business: "chat" });
    await expect(registry.getBusiness({ app: APP, business: "chat" })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: 'app "demo" has no business "chat"',
    });
    await expect(registry.deleteBusiness({ app: APP, business: "chat" })).rejects.toMatchObject({
      code: Code.NotFound,
    });
    await set({ mode: Mode.STREAM });
    const { business } = await registry.getBusiness({ app: APP, business: "chat" });
    expect(business?.mode).toBe(Mode.STREAM);
  });

  test("stands in its bucket as JSON", async () => {
    await set({});
    const entry = await served.cluster.ground.businesses.get(businessKey(APP, "chat"));
    expect(entry?.value && decodeJson(entry.value)).toEqual(BUSINESS_DEFAULTS);
  });
});

describe("refused is", () => {
  test.each([
    ["a mode that is missing", { mode: Mode.MODE_UNSPECIFIED }, /mode/],
    ["mode RPC without a URL", { mode: Mode.RPC }, /url: must be set/],
    ["a URL in another mode", { url: "http://a" }, /url: must be set/],
    ["a URL that is not HTTP", { mode: Mode.RPC, url: "file:///etc/passwd" }, /url/],
    ["a URL with credentials", { mode: Mode.RPC, url: "http://u:p@a" }, /credentials/],
    ["a URL with a query", { mode: Mode.RPC, url: "http://a/?b=c" }, /query/],
    ["no URL at all", { mode: Mode.RPC, url: "http://" }, /url/],
    ["a timeout out of range", { timeoutMs: 99 }, /timeout_ms/],
    ["no concurrency", { concurrency: 0 }, /concurrency/],
    ["a name with a line break", { business: "a\nb" }, /business/],
  ])("%s, by the name of the field", async (_, business, why) => {
    const error = await set(business).then(undefined, ConnectError.from);
    expect(error).toMatchObject({ code: Code.InvalidArgument });
    expect(error).toMatchObject({ rawMessage: expect.stringMatching(why) });
  });

  test("whoever has another app's key, or none", async () => {
    for (const key of ["wrong", undefined]) {
      const stranger = createClient(
        BusinessRegistryService,
        transportTo(served.server.url, key ?? ""),
      );
      await expect(stranger.listBusinesses({ app: APP })).rejects.toMatchObject({
        code: Code.Unauthenticated,
      });
    }
  });
});

test("the answer in JSON shows also what is false or zero", async () => {
  await set({});
  const url = `${served.server.url}/holdfast.business.v1.BusinessRegistryService/GetBusiness`;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ app: APP, business: "chat" }),
  });
  expect(await answer.json()).toMatchObject({
    business: { mode: "REQUEST", ordered: false, ratePerConnection: 0 },
  });
});
