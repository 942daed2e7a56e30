/** What the README shows is run as it stands; only the addresses are those of this test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { admit, DEV_KEY, type GatewayProcess, ready, startGateway } from "../support/gateway.ts";
import { loginJson } from "../support/json-client.ts";
import { tied } from "../support/tied.ts";

const ROOT = join(import.meta.dirname, "../..");

let gateway: GatewayProcess;
let control: string;
let push: string;

beforeAll(async () => {
  gateway = await startGateway("all", {}, ["--demo"]);
  control = await gateway.address("control", "http");
  push = await gateway.address("push", "http");
  await Promise.all([ready(control), ready(push)]);
});
afterAll(() => gateway[Symbol.asyncDispose]());

/** The first code block of the language under a heading. */
async function snippet(heading: string, language: string): Promise<string> {
  const page = await readFile(join(ROOT, "README.md"), "utf8");
  const section = page.split(`\n## ${heading}\n`)[1] ?? "";
  const code = section.split(`\`\`\`${language}\n`)[1]?.split("```")[0];
  if (code === undefined) throw new Error(`the README has no ${language} under "${heading}"`);
  return code
    .replaceAll("http://127.0.0.1:8080", control)
    .replaceAll("http://127.0.0.1:8090", push);
}

test("the curl commands admit a device and push to it", async () => {
  const { token, endpoints } = await admit(control, "alice-phone", "alice");
  const { client } = await loginJson(endpoints[0]!.url, token);
  using _ = client;
  const script = await snippet("A push with curl", "sh");
  const run = async () => {
    const shell = spawn("sh", ["-e"], { env: { ...process.env, HOLDFAST_DEV_KEY: DEV_KEY } });
    shell.stdin.end(script);
    const [output, [code]] = await Promise.all([text(shell.stdout), once(shell, "exit")]);
    expect(code).toBe(0);
    expect(output).toContain('"token":"');
    return output;
  };
  // A login is in the log when it is welcomed; on a busy machine the projector may be some milliseconds behind.
  await eventually("alice is found", async () => (await run()).includes('"status":"SENT"'));
  expect(await client.next("push")).toMatchObject({ message: { text: "hello" } });
});

test("the client in ten lines says hello in a room and hears itself", async () => {
  // Inside the package, so that "holdfast/sdk" means this one.
  const folder = join(ROOT, ".holdfast", `readme-${process.pid}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "client.ts"), await snippet("A client in ten lines", "ts"));
  const client = tied(spawn(process.execPath, [join(folder, "client.ts")]));
  try {
    const lines: string[] = [];
    for await (const line of createInterface({ input: client.stdout })) {
      lines.push(line);
      if (line === "lobby hello, room") break;
    }
    expect(lines).toContain("online");
    expect(lines.at(-1)).toBe("lobby hello, room");
  } finally {
    client.kill("SIGKILL");
    await rm(folder, { recursive: true });
  }
});
