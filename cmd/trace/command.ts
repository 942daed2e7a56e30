/** `holdfast trace <message id>`: the way of a must-arrive message, step by step. */
import { Command } from "commander";
import { type AppTarget, atPush, type Guard } from "../target.ts";

export function traceCommand(guard: Guard): Command {
  return atPush(new Command("trace").argument("<message-id>"))
    .description("shows what became of a must-arrive message, and how long each step took")
    .action((messageId: string, flags: AppTarget) =>
      // Loaded when it is needed: the other commands start sooner without.
      guard(async () => (await import("./trace.ts")).trace(messageId, flags)),
    );
}
