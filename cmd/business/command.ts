/** `holdfast business …`: which businesses an app has, by the API of the push role. */
import { Command, InvalidArgumentError, Option } from "commander";

export interface Target {
  url: string;
  key?: string;
  app: string;
}

export interface Settings {
  mode: "stream" | "request" | "rpc";
  rpcUrl?: string;
  grpc?: true;
  ordered?: true;
  timeoutMs?: number;
  concurrency?: number;
  queue?: number;
  maxPayloadBytes?: number;
  maxReplyBytes?: number;
  rate?: number;
  maxStoredBytes?: number;
}

/** `guard` runs an action and tells what goes wrong. */
export function businessCommand(guard: (action: () => Promise<void>) => Promise<void>): Command {
  const group = new Command("business").description("registers businesses, shows and removes them");

  withTarget(group.command("set").argument("<business>"))
    .description("registers a business, or replaces what was registered")
    .addOption(
      new Option("--mode <mode>", "how it is given its uplinks")
        .choices(["stream", "request", "rpc"])
        .makeOptionMandatory(),
    )
    .option("--rpc-url <url>", "of mode rpc: where its BusinessService is")
    .option("--grpc", "of mode rpc: gRPC over HTTP/2 instead of Connect over HTTP/1.1")
    .option("--ordered", "replies of one connection come in the order of its requests")
    .option("--timeout-ms <ms>", "how long a client waits for it", wholeNumber)
    .option("--concurrency <count>", "uplinks under way at once, for each node", wholeNumber)
    .option("--queue <count>", "how many more wait for a place", wholeNumber)
    .option("--max-payload-bytes <bytes>", "longest payload of an uplink", wholeNumber)
    .option("--max-reply-bytes <bytes>", "longest payload of a reply", wholeNumber)
    .option("--rate <count>", "uplinks a second of one connection", wholeNumber)
    .option("--max-stored-bytes <bytes>", "of mode stream: uplinks that may wait", wholeNumber)
    .action((name: string, flags: Target & Settings) =>
      guard(async () => (await actions()).setBusiness(name, flags)),
    );

  withTarget(group.command("get").argument("<business>"))
    .description("shows a business")
    .action((name: string, flags: Target) =>
      guard(async () => (await actions()).getBusiness(name, flags)),
    );

  withTarget(group.command("list"))
    .description("shows every business of the app")
    .action((flags: Target) => guard(async () => (await actions()).listBusinesses(flags)));

  withTarget(group.command("delete").argument("<business>"))
    .description("removes a business")
    .action((name: string, flags: Target) =>
      guard(async () => (await actions()).deleteBusiness(name, flags)),
    );
  return group;
}

/** Loaded when it is needed: the other commands start sooner without. */
const actions = () => import("./actions.ts");

function withTarget(command: Command): Command {
  return command
    .option("--url <url>", "the push API", "http://127.0.0.1:8090")
    .addOption(new Option("--key <key>", "API key of the app").env("HOLDFAST_DEV_KEY"))
    .option("--app <app>", "the app", "demo");
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new InvalidArgumentError("must be a whole number");
  }
  return number;
}
