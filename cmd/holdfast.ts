/** The command line: `npm run holdfast -- <command> [options]`. */
import { Command, Option } from "commander";
import { loadConfig } from "../internal/config/load.ts";
import {
  type Config,
  envName,
  flagName,
  OPTION_NAMES,
  OPTIONS,
  type OptionName,
} from "../internal/config/options.ts";
import { HoldfastError } from "../internal/status/errors.ts";
import { runAccess } from "./access/main.ts";
import { runAll } from "./all/main.ts";
import { runControl } from "./control/main.ts";
import { type Role, runUntilSignal } from "./process.ts";
import { runProjector } from "./projector/main.ts";
import { runPush } from "./push/main.ts";

const ROLES: Record<string, { run: Role; help: string }> = {
  all: {
    run: runAll,
    help: "every role in one process, with an embedded nats-server unless one is named",
  },
  access: { run: runAccess, help: "holds client connections" },
  projector: { run: runProjector, help: "folds the log into routes and rooms" },
  push: { run: runPush, help: "the push and directory API for business servers" },
  control: { run: runControl, help: "admits clients, serves the console" },
};

const program = new Command("holdfast")
  .description("A long-connection gateway, event-sourced on NATS JetStream.")
  .showHelpAfterError("(--help lists the options)")
  .enablePositionalOptions();

for (const [name, { run, help }] of Object.entries(ROLES)) {
  withOptions(program.command(name).description(help)).action((_options, command: Command) =>
    exitOnMistake(() => runUntilSignal(name, configOf(command), run)),
  );
}

withOptions(program.command("check-config"))
  .description("says what is wrong with the configuration, or prints it")
  .action((_options, command: Command) =>
    exitOnMistake(() => {
      const shown = Object.entries(configOf(command)).map(([option, value]) =>
        option.endsWith("Key") && option !== "tlsKey" ? [option, "[redacted]"] : [option, value],
      );
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
