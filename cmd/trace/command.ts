/** `holdfast trace <message id>`: the way of a must-arrive message, step by step. */
import { Command, Option } from "commander";

export interface TraceFlags {
  url: string;
  key?: string;
  app: string;
}

/** `guard` runs an action and tells what goes wrong. */
export function traceCommand(guard: (action: () => Promise<void>) => Promise<void>): Command {
  return new Command("trace")
    .argument("<message-id>")
    .description("shows what became of a must-arrive message, and how long each step took")
    .option("--url <url>", "the push API", "http://127.0.0.1:8090")
    .addOption(new Option("--key <key>", "API key of the app").env("HOLDFAST_DEV_KEY"))
    .option("--app <app>", "whose message it is", "demo")
    .action((messageId: string, flags: TraceFlags) =>
      // Loaded when it is needed: the other commands start sooner without.
      guard(async () => (await import("./trace.ts")).trace(messageId, flags)),
    );
}
