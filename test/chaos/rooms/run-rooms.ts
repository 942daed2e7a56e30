/**
 * A room with many members who are cut off again and again, while messages are pushed, an access node is
 * killed and NATS is restarted. Every member must get every message, once and in order.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../../bench/support/child.ts";
import { startDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { admit, call } from "../../support/gateway.ts";
import { testNats } from "../../support/nats.ts";
import { seededRandom } from "../../support/seeded-random.ts";
import { check, textOf } from "./account.ts";
import type { RoomCrowd } from "./crowd.ts";

export interface RoomsRunOptions {
  seed: number;
  seconds: number;
  members: number;
  /** Messages a second. */
  rate: number;
  /** By the SDK instead of a plain client. */
  sdk: boolean;
  /** To the room's zone and to everybody, too. */
  mixed: boolean;
  /** Members are cut off, an access node is killed and NATS restarted. */
  calm: boolean;
  breakRefill: boolean;
  report(line: string): void;
}

const ROOM = "arena";
const ZONE = "zone";
const CUT_SHARE = 0.33;
const SETTLED_WITHIN_MS = 60_000;
const PROCESSES = 2;

/** Returns what is wrong, a line each. */
export async function runRooms(options: RoomsRunOptions): Promise<string[]> {
  const { seed, seconds, members: count, sdk, calm, breakRefill, report } = options;
  const preload = new URL("./no-refill.ts", import.meta.url);
  await using nats = await testNats();
  await using deployment = await startDeployment({
    natsUrls: [nats.url],
    access: 2,
    projectors: 1,
    env: breakRefill ? { NODE_OPTIONS: `--import=${preload.href}` } : {},
  });
  const { pushUrl, controlUrl, access } = deployment;
  await call(pushUrl, "holdfast.directory.v1.DirectoryService/SetRoom", {
    app: "demo",
    room: ROOM,
    zone: ZONE,
  });
  await using crowds = new AsyncDisposableStack();
  const processes = Array.from({ length: PROCESSES }, () =>
    crowds.use(new Child<RoomCrowd>(new URL("./crowd-process.ts", import.meta.url))),
  );
  const admitted: { member: string; token: string }[] = [];
  for (let i = 0; i < count; i += 1) {
    const member = `m${i}`;
    admitted.push({ member, token: (await admit(controlUrl, member)).token });
  }
  await Promise.all(
    processes.map((process, index) =>
      process.ask("begin", {
        members: admitted.filter((_, i) => i % PROCESSES === index),
        urls: access.map(({ wsUrl }) => wsUrl),
        room: ROOM,
        seed: seed * PROCESSES + index,
        sdk,
      }),
    ),
  );
  const online = async () => {
    const all = await Promise.all(processes.map((process) => process.ask("online", null)));
    return all.reduce((sum, one) => sum + one.online, 0);
  };
  const everybody = () =>
    eventually("everybody is in the room", async () => (await online()) === count, {
      withinMs: SETTLED_WITHIN_MS,
      everyMs: 250,
    });
  await everybody();
  report(`${count} members are in the room`);

  const sender = new Sender(pushUrl, options);
  if (!calm) await Promise.all(processes.map((one) => one.ask("cut", { share: CUT_SHARE })));
  const sending = sender.run(seconds * 1_000);
  if (!calm) await strike(options, access, nats);
  await sending;
  await Promise.all(processes.map((process) => process.ask("cut", { share: 0 })));
  await everybody();
  await sender.last();
  report(`sent ${JSON.stringify(sender.counts)}, not taken ${sender.failed}`);

  const verdict = async () => {
    const reports = await Promise.all(processes.map((process) => process.ask("report", null)));
    return check(reports.flat(), sender.sent);
  };
  let last = await verdict();
  for (let tries = 0; tries < 20 && last.problems.length > 0; tries += 1) {
    await sleep(500);
    last = await verdict();
  }
  const { problems, received, wanted } = last;
  report(`received ${received} of ${wanted} messages (members times messages)`);
  return problems;
}

async function strike(
  { seed, seconds, report }: RoomsRunOptions,
  access: readonly { name: string; kill(): Promise<void>; start(): Promise<void> }[],
  nats: { restart(): Promise<void> },
): Promise<void> {
  const random = seededRandom(seed);
  const third = (seconds * 1_000) / 3;
  await sleep(third * (0.5 + random()));
  const victim = access[Math.floor(random() * access.length)];
  report(`kill -9 of ${victim?.name}`);
  await victim?.kill();
  await sleep(1_000 + random() * 2_000);
  await victim?.start();
  await sleep(third * random() * 0.7);
  report("NATS is restarted");
  await nats.restart();
}

class Sender {
  readonly #pushUrl: string;
  readonly #options: RoomsRunOptions;
  readonly #numbers: Record<string, number> = { room: 0, zone: 0, all: 0 };
  /** By channel: what the push API says was sent. */
  readonly sent: Record<string, number[]> = { room: [], zone: [], all: [] };
  failed = 0;

  constructor(pushUrl: string, options: RoomsRunOptions) {
    this.#pushUrl = pushUrl;
    this.#options = options;
  }

  get counts(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.sent).map(([name, { length }]) => [name, length]),
    );
  }

  async run(forMs: number): Promise<void> {
    const startedAt = performance.now();
    const pending = new Set<Promise<void>>();
    for (let n = 0; performance.now() - startedAt < forMs; n += 1) {
      const channel = this.#options.mixed
        ? (["room", "room", "zone", "all"][n % 4] ?? "room")
        : "room";
      const sending = this.#send(channel).finally(() => pending.delete(sending));
      pending.add(sending);
      await sleep(
        Math.max(0, startedAt + ((n + 1) * 1_000) / this.#options.rate - performance.now()),
      );
    }
    await Promise.all(pending);
  }

  /** One more for each channel, when all is quiet: what follows a loss shows it. */
  async last(): Promise<void> {
    for (const channel of this.#options.mixed ? ["room", "zone", "all"] : ["room"]) {
      await this.#send(channel);
    }
  }

  async #send(channel: string): Promise<void> {
    const number = (this.#numbers[channel] ?? 0) + 1;
    this.#numbers[channel] = number;
    const message = { business: "test", text: textOf(channel, number) };
    const [method, target] =
      channel === "room"
        ? ["PushToRooms", { rooms: [ROOM] }]
        : channel === "zone"
          ? ["PushToZones", { zones: [ZONE] }]
          : ["Broadcast", {}];
    try {
      const answer = await call<{ results?: { status?: string }[] }>(
        this.#pushUrl,
        `holdfast.push.v1.PushService/${method}`,
        { app: "demo", ...target, message },
      );
      if (answer.results?.every(({ status }) => status === "SENT"))
        this.sent[channel]?.push(number);
      else this.failed += 1;
    } catch {
      this.failed += 1;
    }
  }
}
