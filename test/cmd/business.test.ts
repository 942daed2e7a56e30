import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { API_KEY, type Served, serve } from "../push/served.ts";

let served: Served;

beforeAll(async () => {
  served = await serve();
});
afterAll(() => served?.[Symbol.asyncDispose]());

async function holdfast(...args: string[]) {
  const command = ["cmd/holdfast.ts", "business", ...args, "--url", served.server.url];
  const env = { ...process.env, HOLDFAST_DEV_KEY: API_KEY };
  return promisify(execFile)(process.execPath, command, { env }).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: "" }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

test("a business is set, shown, listed and deleted from the command line", async () => {
  const set = await holdfast("set", "orders", "--mode", "request", "--ordered", "--queue", "0");
  expect(set).toMatchObject({ code: 0 });
  expect(JSON.parse(set.stdout)).toMatchObject({
    business: "orders",
    mode: "REQUEST",
    ordered: true,
    queue: 0,
    timeoutMs: 5_000,
  });
  await holdfast("set", "news", "--mode", "rpc", "--rpc-url", "http://127.0.0.1:7000", "--grpc");
  expect(JSON.parse((await holdfast("get", "news")).stdout)).toMatchObject({
    url: "http://127.0.0.1:7000",
    protocol: "GRPC",
  });
  const stream = ["--mode", "stream", "--max-stored-bytes", "5000000"];
  expect(JSON.parse((await holdfast("set", "orders", ...stream)).stdout)).toMatchObject({
    mode: "STREAM",
    maxStoredBytes: "5000000",
  });
  expect(await holdfast("delete", "orders")).toMatchObject({ code: 0, stdout: "" });
  const listed = (await holdfast("list")).stdout.trim().split("\n");
  expect(listed.map((line: string) => JSON.parse(line).business)).toEqual(["news"]);
});

test("what is wrong is said in words, with the name of the field", async () => {
  expect(await holdfast("get", "nobody")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no business "nobody"'),
  });
  expect(await holdfast("set", "b", "--mode", "rpc")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("url: must be set in mode RPC"),
  });
  expect(await holdfast("set", "b", "--mode", "often")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("stream, request, rpc"),
  });
  expect(await holdfast("list", "--key", "wrong")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("[unauthenticated]"),
  });
});
