/** Which gateway a command talks to, and with which key. */
import { type Command, Option } from "commander";

/** Runs an action of a command and tells what goes wrong. */
export type Guard = (action: () => void | Promise<void>) => Promise<void>;

export interface Target {
  url: string;
  key?: string;
  json?: boolean;
}

export interface AppTarget extends Target {
  app: string;
}

/** The push API, with the key of an app. */
export function atPush(command: Command): Command {
  return withKey(command, "push", "HOLDFAST_PUSH_LISTEN", "127.0.0.1:8090", {
    name: "API key of the app",
    envs: ["HOLDFAST_DEV_KEY"],
  }).option("--app <app>", "the app", "demo");
}

/** The control port, with the operator's key. */
export function atControl(command: Command): Command {
  return withKey(command, "control", "HOLDFAST_CONTROL_LISTEN", "127.0.0.1:8080", {
    name: "key of the operator",
    envs: ["HOLDFAST_ADMIN_KEY", "HOLDFAST_OPERATOR_KEY", "HOLDFAST_DEV_KEY"],
  });
}

function withKey(
  command: Command,
  port: string,
  listenEnv: string,
  standing: string,
  key: { name: string; envs: string[] },
): Command {
  const url = `http://${process.env[listenEnv] || standing}`;
  const found = key.envs.map((name) => process.env[name]).find((value) => value !== undefined);
  const keyOption = new Option("--key <key>", `${key.name} (${key.envs.join(", else ")})`);
  if (found !== undefined) keyOption.default(found, "from the environment");
  return command
    .option("--url <url>", `the ${port} API (http:// and ${listenEnv})`, url)
    .addOption(keyOption)
    .option("--json", "one JSON object a line, as the API has it");
}
