/** `holdfast business …`: which businesses an app has, by the API of the push role. */
import { Command, InvalidArgumentError, Option } from "commander";
import { atPush, type Guard, type AppTarget as Target } from "../target.ts";

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
export function businessCommand(guard: Guard): Command {
  const group = new Command("business").description("registers businesses, shows and removes them");

  atPush(group.command("set").argument("<business>"))
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

  atPush(group.command("get").argument("<business>"))
    .description("shows a business")
    .action((name: string, flags: Target) =>
      guard(async () => (await actions()).getBusiness(name, flags)),
    );

  atPush(group.command("list"))
    .description("shows every business of the app")
    .action((flags: Target) => guard(async () => (await actions()).listBusinesses(flags)));

  atPush(group.command("delete").argument("<business>"))
    .description("removes a business")
    .action((name: string, flags: Target) =>
      guard(async () => (await actions()).deleteBusiness(name, flags)),
    );
  return group;
}

/** Loaded when it is needed: the other commands start sooner without. */
const actions = () => import("./actions.ts");

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new InvalidArgumentError("must be a whole number");
  }
  return number;
}
