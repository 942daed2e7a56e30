import { afterAll, beforeAll, expect, test } from "vitest";
import { settingsOf, startProgram } from "../support/business-process.ts";
import { type GatewayProcess, ready, startGateway } from "../support/gateway.ts";

let gateway: GatewayProcess;
let settings: Record<string, string>;

beforeAll(async () => {
  gateway = await startGateway("all");
  settings = await settingsOf(gateway);
  await ready(settings.HOLDFAST_CONTROL_URL ?? "");
});
afterAll(() => gateway?.[Symbol.asyncDispose]());

/** What an example prints until it ends of itself. */
async function output(file: string): Promise<readonly string[]> {
  await using program = startProgram(`examples/${file}`, settings);
  const code = await program.ended;
  expect({ code, lines: program.lines }).toMatchObject({ code: 0 });
  return program.lines;
}

test("01: a push reaches a connected device", async () => {
  expect(await output("01_connect_and_push.ts")).toEqual([
    "pushed: SENT",
    "received: hello, alice",
  ]);
});

test("02: what one viewer says, everybody in the room sees", async () => {
  expect(await output("02_live_room.ts")).toEqual(
    ["ann", "ben", "cho"].map((user) => `${user} sees: ann: what a goal!`),
  );
});

test("03: notices that must arrive wait for a device that is away", async () => {
  expect(await output("03_must_arrive.ts")).toEqual([
    "paid: ACCEPTED",
    "packed: ACCEPTED",
    "shipped: ACCEPTED",
    "received: paid, packed, shipped",
  ]);
});

test("04: a business echoes in each of the three ways", async () => {
  await using started = new AsyncDisposableStack();
  for (const mode of ["stream", "request", "rpc"]) {
    const server = started.use(startProgram("examples/04_uplink_echo_server.ts", settings, [mode]));
    await server.printed(`echo_${mode} is ready`);
  }
  expect(await output("04_uplink_echo.ts")).toEqual([
    "echo: by stream",
    "echo: by request",
    "echo: by rpc",
  ]);
});

test("05: a business server knows which friends are online", async () => {
  expect(await output("05_online_friends.ts")).toEqual([
    "online: dan and eve",
    "online: eve",
    "online: nobody",
  ]);
});
