/** The command line: `npm run holdfast -- <command> [options]`. */
import { enableCompileCache } from "node:module";
import { Command, Option } from "commander";
import { loadConfig } from "../internal/config/load.ts";
import {
  type Config,
  envName,
  flagName,
  OPTION_NAMES,
  OPTIONS,
  type OptionName,
  shownValue,
} from "../internal/config/options.ts";
import { HoldfastError } from "../internal/status/errors.ts";
import { adminCommands } from "./admin/command.ts";
import { businessCommand } from "./business/command.ts";
import { deploymentCommand } from "./deployment/command.ts";
import { natsConfigCommand } from "./nats-config/command.ts";
import type { Role } from "./role.ts";
import { traceCommand } from "./trace/command.ts";

/** Loaded when they are run: a role starts with what it needs, and --help with nothing. */
const ROLES: Record<string, { load: () => Promise<Role>; help: string }> = {
  all: {
    load: async () => (await import("./all/main.ts")).runAll,
    help: "every role in one process, with an embedded nats-server unless one is named",
  },
  access: {
    load: async () => (await import("./access/main.ts")).runAccessAlone,
    help: "holds client connections",
  },
  projector: {
    load: async () => (await import("./projector/main.ts")).runProjector,
    help: "folds the log into routes and rooms",
  },
  push: {
    load: async () => (await import("./push/main.ts")).runPush,
    help: "the push and directory API for business servers",
  },
  control: {
    load: async () => (await import("./control/main.ts")).runControl,
    help: "admits clients, serves the console",
  },
};

// Of the modules loaded from here on; a start takes half the time with it.
enableCompileCache();

const program = new Command("holdfast")
  .description("A long-connection gateway, event-sourced on NATS JetStream.")
  .showHelpAfterError("(--help lists the options)")
  .enablePositionalOptions();

for (const [name, { load, help }] of Object.entries(ROLES)) {
  withOptions(program.command(name).description(help)).action((_options, command: Command) =>
    exitOnMistake(async () => {
      const config = configOf(command);
      const { runUntilSignal } = await import("./process.ts");
      await runUntilSignal(name, config, await load());
    }),
  );
}

withOptions(program.command("check-config"))
  .description("says what is wrong with the configuration, or prints it")
  .action((_options, command: Command) =>
    exitOnMistake(() => {
      const shown = Object.entries(configOf(command)).map(([option, value]) => [
        option,
        shownValue(option as OptionName, value),
      ]);
      console.log(JSON.stringify(Object.fromEntries(shown), null, 2));
    }),
  );

program
  .command("default-config")
  .description("prints a config file with every option that has a default")
  .action(() => {
    const set = OPTION_NAMES.filter((option) => OPTIONS[option].fallback !== undefined);
    const file = Object.fromEntries(set.map((option) => [option, OPTIONS[option].fallback]));
    console.log(JSON.stringify(file, null, 2));
  });

for (const command of adminCommands(exitOnMistake)) program.addCommand(command);
program.addCommand(businessCommand(exitOnMistake));
program.addCommand(natsConfigCommand(exitOnMistake));
program.addCommand(deploymentCommand(exitOnMistake));
program.addCommand(traceCommand(exitOnMistake));

await program.parseAsync();

function withOptions(command: Command): Command {
  command.option("--config <file>", "JSON file with options by name (HOLDFAST_CONFIG)");
  for (const name of OPTION_NAMES) {
    const { help, fallback } = OPTIONS[name];
    const standing = fallback === undefined || fallback === "" ? "" : `; default ${fallback}`;
    const flag = name === "demo" ? flagName(name) : `${flagName(name)} <value>`;
    command.addOption(new Option(flag, `${help} (${envName(name)}${standing})`));
  }
  return command;
}

function configOf(command: Command): Config {
  const { config: file, ...flags } = command.opts<
    { config?: string } & Partial<Record<OptionName, unknown>>
  >();
  return loadConfig({ flags, env: process.env, file });
}

/** A mistake of the operator's is told in words; only a bug shows its stack. */
async function exitOnMistake(action: () => void | Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    const known = error instanceof HoldfastError && error.code !== "internal";
    console.error(known ? `holdfast: ${error.message}` : error);
    process.exit(1);
  }
}
