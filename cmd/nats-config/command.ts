/** `holdfast nats-config`: a configuration for a nats-server of your own, with a user for each who uses it. */
import { Command, InvalidArgumentError, Option } from "commander";
import type { BusinessName } from "../../internal/nats-server/permissions.ts";
import { idProblem } from "../../streams/names.ts";
import type { Guard } from "../target.ts";

export interface NatsConfigFlags {
  business?: BusinessName[];
  passwordFile?: string;
  out?: string;
  host: string;
  port: number;
  storeDir: string;
}

export function natsConfigCommand(guard: Guard): Command {
  // Each --business is of the --app before it.
  let app = "demo";
  const chooseApp = (text: string) => {
    app = id(text);
    return app;
  };
  const addBusiness = (text: string, before: BusinessName[] = []) => [
    ...before,
    { app, business: id(text) },
  ];
  return new Command("nats-config")
    .description(
      "prints a nats-server configuration: a user for the gateway's roles, and one for each business named",
    )
    .addOption(
      new Option("--app <app>", "of the businesses named after it; may be given again")
        .argParser(chooseApp)
        .default(undefined, "demo"),
    )
    .addOption(
      new Option(
        "--business <business>",
        "a business with a user of its own; may be given again",
      ).argParser(addBusiness),
    )
    .option(
      "--password-file <file>",
      "a line 'user password' for each; those it lacks are made and added (mode 0600)",
    )
    .option("--out <file>", "writes it there (mode 0600); the passwords in it are plain text")
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .option("--port <port>", "the port to listen on", port, 4222)
    .option("--store-dir <folder>", "where JetStream keeps its streams", "./nats")
    .action((flags: NatsConfigFlags) =>
      guard(async () => (await import("./actions.ts")).printNatsConfig(flags)),
    );
}

function id(text: string): string {
  const problem = idProblem(text);
  if (problem !== undefined) throw new InvalidArgumentError(problem);
  return text;
}

function port(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0 && number <= 65_535) return number;
  throw new InvalidArgumentError("must be a whole number from 1 to 65535");
}
