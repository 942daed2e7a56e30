/** `holdfast deployment …`: how a deployment is set up, and the only way to change it. */
import { Command, InvalidArgumentError, Option } from "commander";
import { BYTE_LIMITS, type ByteLimits, LEAST_STORE_BYTES } from "../../streams/layout.ts";

export interface Target {
  natsUrl: string;
  natsCreds?: string;
  json?: true;
}

/** By the names of the record's fields. */
export interface Changes extends Partial<ByteLimits> {
  replicas?: number;
  storeMaxBytes?: number;
  yes?: true;
}

const HELP: Readonly<Record<(typeof BYTE_LIMITS)[number], string>> = {
  logMaxBytes: "each log stream",
  mailMaxBytes: "HF_MAIL: must-arrive messages that wait for their device",
  uplinkMaxBytes: "HF_UPLINK: uplinks of businesses that read a stream",
  stateMaxBytes: "HF_STATE: who came online and went offline",
  roomMaxBytes: "HF_ROOM: the last messages of rooms",
  receiptMaxBytes: "HF_RECEIPT: what became of must-arrive messages",
  routeMaxBytes: "bucket hf_route: where devices are, or were last",
  userMaxBytes: "bucket hf_user: the devices of users",
  tableMaxBytes: "each of the buckets hf_room and hf_mailbox",
};

const LEAST_BYTES = 1_048_576;

/** `guard` runs an action and tells what goes wrong. */
export function deploymentCommand(guard: (action: () => Promise<void>) => Promise<void>): Command {
  const group = new Command("deployment").description(
    "shows and changes the copies and limits of the streams",
  );

  withTarget(group.command("show"))
    .description("shows what holds, and where the streams are not so")
    .action((flags: Target) => guard(async () => (await actions()).showDeployment(flags)));

  const set = withTarget(group.command("set"))
    .description(
      "changes what holds, and makes the streams so; shows what would change without --yes",
    )
    .option("--yes", "do it")
    .option("--replicas <count>", "copies of each stream", within(1, 5))
    .option(
      "--store-max-bytes <bytes>",
      "what all may take of each server: sets the limits below",
      within(LEAST_STORE_BYTES, Number.MAX_SAFE_INTEGER),
    );
  for (const limit of BYTE_LIMITS) {
    const bytes = within(LEAST_BYTES, Number.MAX_SAFE_INTEGER);
    set.option(`${flagOf(limit)} <bytes>`, `the most bytes of ${HELP[limit]}`, bytes);
  }
  set.action((flags: Target & Changes) =>
    guard(async () => (await actions()).setDeployment(flags)),
  );
  return group;
}

/** Loaded when it is needed: the other commands start sooner without. */
const actions = () => import("./actions.ts");

function flagOf(field: string): string {
  return `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function withTarget(command: Command): Command {
  return command
    .addOption(
      new Option("--nats-url <url>", "its NATS")
        .env("HOLDFAST_NATS_URL")
        .default("nats://127.0.0.1:4222"),
    )
    .addOption(new Option("--nats-creds <file>", "NATS credentials").env("HOLDFAST_NATS_CREDS"))
    .option("--json", "prints one JSON object");
}

function within(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (Number.isSafeInteger(number) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}`);
  };
}
