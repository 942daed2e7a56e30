/**
 * `npm run bench -- admit [--nodes 1000] [--seconds 5]`: Admit by RPC and by GET of one control process that knows
 * so many nodes, all of which beat every second; the clients are a process of their own.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { Apps } from "../../internal/auth/apps.ts";
import { SigningKeys } from "../../internal/auth/signing-keys.ts";
import { TokenIssuer } from "../../internal/auth/token-issuer.ts";
import { TokenVerifier } from "../../internal/auth/token-verifier.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { admitByGet } from "../../internal/control/admit-get.ts";
import { Canaries } from "../../internal/control/canary.ts";
import { Dispatch } from "../../internal/control/dispatch.ts";
import { Operator } from "../../internal/control/operator.ts";
import { NodeOrders } from "../../internal/control/orders.ts";
import { controlDoorkeeper, controlRoutes, quickCalls } from "../../internal/control/service.ts";
import { notFound, startHttpServer } from "../../internal/http/server.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { createLogger } from "../../internal/observe/logger.ts";
import { BeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodeBeatSubject } from "../../streams/subjects.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";

const GOALS = { choice: Number.NaN, RPC: 5_000, GET: 12_000 };
const UNDER_WAY = 64;

if (process.send !== undefined) await beClients();
else await bench();

async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string", default: "1000" },
      seconds: { type: "string", default: "5" },
    },
  });
  const [count, seconds] = [Number(values.nodes), Number(values.seconds)];
  const messages = new MemoryMessages();
  const nodes = new NodeRegistry({ messages, silenceMs: 3_000 });
  const canaries = await Canaries.follow(new MemoryBucket());
  const dispatch = new Dispatch({ nodes, canaries, clock: systemClock, random: Math.random });
  const beat = (index: number) => {
    const incarnation = `node${index}-1`;
    const sent = create(BeatSchema, {
      incarnation,
      name: `node${index}`,
      serving: true,
      connections: 10_000 + Math.floor(Math.random() * 10_000),
      load: Math.random() / 2,
      weight: 100,
      maxConnections: 1_000_000,
      labels: { region: ["eu", "us", "ap"][index % 3] as string },
      endpoints: [
        { url: `ws://node${index}.example:9000/connect`, protocol: "websocket" },
        { url: `tcp://node${index}.example:9001`, protocol: "tcp" },
      ],
    });
    messages.publish(nodeBeatSubject(incarnation), toBinary(BeatSchema, sent));
  };
  // Spread over the second, as nodes that started at different times do.
  let next = 0;
  for (let index = 0; index < count; index++) beat(index);
  const beating = setInterval(() => {
    for (let sent = 0; sent < count / 20; sent++) beat(next++ % count);
  }, 50);

  const apps = await Apps.follow(new MemoryBucket());
  await apps.ensure("demo", "k", "open");
  const keys = await SigningKeys.follow(new MemoryBucket());
  await keys.ensure();
  const options = {
    apps,
    keys,
    issuer: new TokenIssuer(keys),
    verifier: new TokenVerifier({ keys, apps }),
    revoked: new MemoryBucket(),
    operator: new Operator("op"),
    orders: new NodeOrders(nodes, messages),
    canaries,
    dispatch,
    clock: systemClock,
    tokenSeconds: 600,
    heartbeatSeconds: 30,
  };
  await using server = await startHttpServer({
    doorkeeper: controlDoorkeeper(options),
    listen: { host: "127.0.0.1", port: 0 },
    log: createLogger("fatal"),
    ready: () => true,
    routes: controlRoutes(options),
    quick: quickCalls(options),
    pages: admitByGet(options, notFound),
  });

  const cpuMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  };
  let missed = false;
  const tell = (name: keyof typeof GOALS, calls: number, cpu: number, wallMs: number) => {
    const perCore = (1_000 * calls) / cpu;
    const goal = GOALS[name];
    const short = perCore < goal;
    missed ||= short;
    const word = Number.isNaN(goal) ? "" : `  goal ${goal}${short ? "  MISSED" : ""}`;
    const [rate, each] = [(1_000 * calls) / wallMs, (1_000 * cpu) / calls];
    console.log(
      `${name.padEnd(7)} ${perCore.toFixed(0).padStart(8)}/s of one core  ${each.toFixed(1)} µs of CPU each  (${rate.toFixed(0)}/s here)${word}`,
    );
  };

  await new Promise((warm) => setTimeout(warm, 100));
  const client = {
    ...{ app: "demo", platform: "ios", appVersion: "2.1.0", labels: { region: "eu" } },
    ...{ protocols: [], dispatch: "load" as const },
  };
  const choices = 200_000;
  const before = { cpu: cpuMs(), at: performance.now() };
  for (let turn = 0; turn < choices; turn++) dispatch.choose({ ...client, device: `d${turn}` });
  tell("choice", choices, cpuMs() - before.cpu, performance.now() - before.at);

  await using clients = clientProcess();
  for (const kind of ["RPC", "GET"] as const) {
    await clients.load(kind, server.url, 1);
    const start = { cpu: cpuMs(), at: performance.now() };
    const calls = await clients.load(kind, server.url, seconds);
    tell(kind, calls, cpuMs() - start.cpu, performance.now() - start.at);
  }
  clearInterval(beating);
  process.exitCode = missed ? 1 : 0;
}

function clientProcess() {
  const child: ChildProcess = fork(import.meta.filename);
  return {
    async load(kind: string, url: string, seconds: number): Promise<number> {
      child.send({ kind, url, seconds });
      const [calls] = await once(child, "message");
      return calls as number;
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, "exit");
    },
  };
}

async function beClients(): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: UNDER_WAY });
  process.on("message", async (ask: { kind: string; url: string; seconds: number }) => {
    const until = performance.now() + ask.seconds * 1_000;
    let calls = 0;
    const one = async (number: number) => {
      for (let turn = 0; performance.now() < until; turn++) {
        await call(ask, `device-${number}-${turn}`);
        calls += 1;
      }
    };
    await Promise.all(Array.from({ length: UNDER_WAY }, (_, number) => one(number)));
    process.send?.(calls);
  });

  function call({ kind, url }: { kind: string; url: string }, device: string): Promise<void> {
    const body =
      kind === "GET"
        ? ""
        : JSON.stringify({ app: "demo", device, user: "u", client: { platform: "ios" } });
    const path =
      kind === "GET"
        ? `/admit?app=demo&device=${device}&user=u&platform=ios`
        : "/holdfast.control.v1.ControlService/Admit";
    return new Promise((done, fail) => {
      const method = kind === "GET" ? "GET" : "POST";
      const headers =
        kind === "GET"
          ? {}
          : { "content-type": "application/json", "content-length": String(body.length) };
      const sent = request(`${url}${path}`, { agent, method, headers }, (response) => {
        if (response.statusCode !== 200) fail(new Error(`status ${response.statusCode}`));
        response.resume().once("end", done);
      });
      sent.once("error", fail);
      sent.end(body);
    });
  }
}
