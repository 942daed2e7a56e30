/**
 * The gateway against a nemesis, on this machine: a NATS cluster of three, two access nodes, two
 * projectors, and a crowd of restless clients.
 *
 *     npm run chaos -- must-arrive --seconds 60 --seed 1
 *     npm run chaos -- state
 *     npm run chaos -- routes --fault cut --fault fill
 *     npm run chaos -- rooms --sdk --mixed
 *     npm run chaos -- leaders
 *     npm run chaos -- projectors-away --seconds 150
 *
 * Without --sync always, what a server acknowledged and had not synced when its store went back is not among
 * what must not be lost.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import { wholeNumberFromOne } from "../support/options.ts";
import type { ServerFault } from "./nemesis-plan.ts";
import { type RoomsRunOptions, runRooms } from "./rooms/run-rooms.ts";
import { runLeaders } from "./run-leaders.ts";
import { runMustArrive } from "./run-must-arrive.ts";
import { runProjectorsAway } from "./run-projectors-away.ts";
import { type RunOptions, runRoutes } from "./run-routes.ts";
import { runState } from "./run-state.ts";
import { SERVER_FAULTS } from "./server-faults.ts";
import { type Stage, setStage } from "./stage.ts";

interface Flags {
  seconds: number;
  seed: number;
  clients: number;
  rate: number;
  sync: "usual" | "always";
  fault: ServerFault[];
  longestFreeze: number;
  client?: "bare" | "sdk";
  breakAcks?: boolean;
  breakNodeDown?: boolean;
}

/** Resolves to what is wrong, a line each. */
type Run = (stage: Stage, options: RunOptions, flags: Flags) => Promise<string[]>;

interface Play {
  help: string;
  /** Default: what the flags say, or bare sockets. */
  client?: "sdk";
  /** Of --seconds. Default: 60. */
  seconds?: number;
  run: Run;
  /** A flag that breaks something on purpose, to see the checker find it. */
  sabotage?: [flag: string, help: string];
}

const RUNS: Record<string, Play> = {
  "must-arrive": {
    help: "what was accepted is delivered, once, in order, or reported expired",
    sabotage: ["--break-acks", "clients lose one message in 500 that they acknowledge"],
    async run(stage, options, { rate }) {
      const { problems, ...counts } = await runMustArrive(stage, { ...options, perSecond: rate });
      console.log(
        Object.entries(counts)
          .map(([what, count]) => `${what} ${count}`)
          .join(", "),
      );
      return problems;
    },
  },
  state: {
    help: "a subscriber of the connection-state subjects ends with who is online, in order",
    sabotage: ["--break-node-down", "the subscriber is not told of devices whose node has died"],
    run: (stage, options, { breakNodeDown: missesNodeDown = false }) =>
      runState(stage, { ...options, missesNodeDown }),
  },
  routes: {
    help: "when all is quiet again, every device is where GetDevices says",
    run: runRoutes,
  },
  leaders: {
    help: "the leader of each stream and bucket is killed in turn; no partition, client or message notices",
    client: "sdk",
    run: (stage, options, { rate }) => runLeaders(stage, { ...options, perSecond: rate }),
  },
  "projectors-away": {
    help: "without projectors nobody is dropped and everybody is welcomed; routes are right soon after",
    client: "sdk",
    seconds: 150,
    run: runProjectorsAway,
  },
};

const program = new Command("chaos").description("The gateway against a nemesis.");
for (const [name, play] of Object.entries(RUNS)) {
  const { help, sabotage, seconds = 60 } = play;
  const command = program
    .command(name)
    .description(help)
    .addOption(numberOption("--seconds <count>", "how long processes are struck", seconds))
    .addOption(numberOption("--seed <number>", "chooses what is struck when", 1))
    .addOption(numberOption("--clients <count>", "how many devices", 2_000))
    .addOption(numberOption("--rate <count>", "must-arrive messages offered a second", 1_500))
    .addOption(
      new Option("--sync <when>", "when NATS servers write to their disks")
        .choices(["usual", "always"])
        .default("usual"),
    )
    .addOption(
      new Option("--fault <fault...>", `more that happens to NATS servers: ${faultHelp()}`)
        .choices(Object.keys(SERVER_FAULTS))
        .default([]),
    )
    .addOption(numberOption("--longest-freeze <seconds>", "for processes that are held", 12))
    .addOption(new Option("--client <kind>", "what clients are made with").choices(["bare", "sdk"]))
    .action((flags: Flags) => perform(name, flags, play));
  if (sabotage) command.option(...sabotage);
}
program
  .command("rooms")
  .description("every member of a room gets every message, once and in order")
  .addOption(numberOption("--seconds <count>", "how long messages are sent", 60))
  .addOption(numberOption("--seed <number>", "chooses what is struck when", 1))
  .addOption(numberOption("--members <count>", "how many members", 2_000))
  .addOption(numberOption("--rate <count>", "messages a second", 20))
  .option("--sdk", "the members are clients of the SDK", false)
  .option("--mixed", "messages to the room's zone and to everybody, too", false)
  .option("--calm", "nobody is cut off, and nothing is struck", false)
  .option("--break-refill", "access nodes do not fetch what they have not heard", false)
  .action(playRooms);
await program.parseAsync();

async function playRooms(flags: Omit<RoomsRunOptions, "report">): Promise<void> {
  const startedAt = performance.now();
  const report = (line: string) => {
    console.log(`[${((performance.now() - startedAt) / 1_000).toFixed(1)}] ${line}`);
  };
  const problems = await runRooms({ ...flags, report });
  for (const problem of problems.slice(0, 20)) report(problem);
  report(problems.length === 0 ? "passed" : `failed: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

async function perform(name: string, flags: Flags, play: Play): Promise<void> {
  const { seed, seconds, clients, breakAcks, sync, fault: faults, longestFreeze } = flags;
  const kind = flags.client ?? play.client ?? "bare";
  const forgets = breakAcks ? 1 / 500 : 0;
  const folder = await mkdtemp(join(tmpdir(), `holdfast-chaos-${name}-`));
  const startedAt = performance.now();
  const report = (line: string) => {
    console.log(`[${((performance.now() - startedAt) / 1_000).toFixed(1)}] ${line}`);
  };
  report(
    `${name}: seed ${seed}, ${seconds} s, ${clients} clients (${kind}), sync ${sync}, ${["kill", "SIGSTOP", ...faults].join(", ")}; histories and logs in ${folder}`,
  );
  let problems: string[];
  {
    await using stage = await setStage({
      folder,
      seed,
      clients,
      clientProcesses: 2,
      forgets,
      kind,
      syncAlways: sync === "always",
      faults,
      longestFreezeMs: longestFreeze * 1_000,
      report,
    });
    report("everybody is connected");
    problems = await play.run(stage, { seed, seconds, report }, flags);
  }
  for (const problem of problems.slice(0, 20)) report(problem);
  report(problems.length === 0 ? "passed" : `failed: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

function faultHelp(): string {
  return Object.entries(SERVER_FAULTS)
    .map(([fault, help]) => `${fault}: ${help}`)
    .join("; ");
}

function numberOption(flags: string, help: string, fallback: number): Option {
  return new Option(flags, help).default(fallback).argParser(wholeNumberFromOne);
}
