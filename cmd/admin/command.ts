/** What an operator does from a shell, by AdminService: apps, keys, revocation, orders to nodes. */
import { Command, InvalidArgumentError, Option } from "commander";
import { atControl, type Guard, type Target } from "../target.ts";

export interface NewKeyFlags {
  name?: string;
  rpc?: string[];
  business?: string[];
  targetPrefix?: string[];
  rate?: number;
  expires?: Date;
}

export interface TokenKeyFlags {
  algorithm: "HS256" | "ES256" | "EdDSA";
  secretFile?: string;
  publicKey?: string;
  jwksUrl?: string;
}

export interface CanaryFlags {
  nodes: Record<string, string>;
  percent: number;
  app?: string;
  platform?: string[];
  appVersion?: string[];
  label?: Record<string, string>;
}

export interface AppChanges {
  admission?: string;
  dispatch?: string;
}

export interface RevokeFlags {
  device?: string[];
  user?: string[];
  tokenId?: string[];
}

export function adminCommands(guard: Guard): Command[] {
  return [
    appCommand(guard),
    keyCommand(guard),
    tokenKeyCommand(guard),
    revokeCommand(guard),
    drainCommand(guard),
    undrainCommand(guard),
    nodesCommand(guard),
    canaryCommand(guard),
  ];
}

/** Loaded when it is needed: the other commands start sooner without. */
const actions = () => import("./actions.ts");

function appCommand(guard: Guard): Command {
  const group = new Command("app").description(
    "makes apps (tenants), shows, changes and deletes them",
  );
  atControl(group.command("create").argument("<app>"))
    .description("makes an app and its first API key, which is shown this once")
    .addOption(admissionOption())
    .action((app: string, flags: Target & { admission?: string }) =>
      guard(async () => (await actions()).createApp(app, flags)),
    );
  atControl(group.command("list"))
    .description("every app")
    .action((flags: Target) => guard(async () => (await actions()).listApps(flags)));
  atControl(group.command("show").argument("<app>"))
    .description("an app, and the keys that it signs tokens with")
    .action((app: string, flags: Target) =>
      guard(async () => (await actions()).showApp(app, flags)),
    );
  atControl(group.command("set").argument("<app>"))
    .description("changes an app")
    .addOption(admissionOption())
    .addOption(dispatchOption())
    .action((app: string, flags: Target & AppChanges) =>
      guard(async () => (await actions()).setApp(app, flags)),
    );
  atControl(group.command("delete").argument("<app>"))
    .description("deletes an app; its keys are good for nothing then, and its clients are closed")
    .action((app: string, flags: Target) =>
      guard(async () => (await actions()).deleteApp(app, flags)),
    );
  return group;
}

function keyCommand(guard: Guard): Command {
  const group = new Command("key").description(
    "API keys of an app, and the key that Admit signs with",
  );
  atControl(group.command("create").argument("<app>"))
    .description("makes an API key, which is shown this once")
    .option("--name <name>", "what it is for")
    .option("--rpc <name...>", "may call only these, such as PushToUsers")
    .option("--business <name...>", "may send messages of these businesses only")
    .option("--target-prefix <prefix...>", "may address only names that begin so")
    .option("--rate <count>", "calls a second, over each push process", wholeNumber)
    .option("--expires <time>", "is good until then, such as 2027-01-31T00:00:00Z", time)
    .action((app: string, flags: Target & NewKeyFlags) =>
      guard(async () => (await actions()).createKey(app, flags)),
    );
  atControl(group.command("list").argument("<app>"))
    .description("the app's keys, without their secrets")
    .action((app: string, flags: Target) =>
      guard(async () => (await actions()).listKeys(app, flags)),
    );
  atControl(group.command("revoke").argument("<app>").argument("<key-id>"))
    .description("makes a key good for nothing")
    .action((app: string, id: string, flags: Target) =>
      guard(async () => (await actions()).revokeKey(app, id, flags)),
    );
  atControl(group.command("rotate"))
    .description("signs tokens with a new key; those of the old one stay good until they expire")
    .action((flags: Target) => guard(async () => (await actions()).rotate(flags)));
  return group;
}

function tokenKeyCommand(guard: Guard): Command {
  const group = new Command("token-key").description("keys with which an app signs tokens itself");
  atControl(group.command("set").argument("<app>").argument("<kid>"))
    .description("registers a key, or replaces the one of this id")
    .addOption(
      new Option("--algorithm <name>", "the only one it may be used with")
        .choices(["HS256", "ES256", "EdDSA"])
        .makeOptionMandatory(),
    )
    .option("--secret-file <file>", "of HS256: at least 32 bytes in base64url")
    .option("--public-key <file>", "of ES256 and EdDSA: a PEM file")
    .option("--jwks-url <url>", "in place of --public-key: where the app's JWK set is")
    .action((app: string, kid: string, flags: Target & TokenKeyFlags) =>
      guard(async () => (await actions()).setTokenKey(app, kid, flags)),
    );
  atControl(group.command("delete").argument("<app>").argument("<kid>"))
    .description("tokens of this key are refused from then on")
    .action((app: string, kid: string, flags: Target) =>
      guard(async () => (await actions()).deleteTokenKey(app, kid, flags)),
    );
  return group;
}

function revokeCommand(guard: Guard): Command {
  return atControl(new Command("revoke").argument("<app>"))
    .description("refuses the tokens issued by now, and closes the connections made with them")
    .option("--device <device...>", "of these devices")
    .option("--user <user...>", "of these users")
    .option("--token-id <id...>", "these tokens, by their claim jti")
    .action((app: string, flags: Target & RevokeFlags) =>
      guard(async () => (await actions()).revoke(app, flags)),
    );
}

function drainCommand(guard: Guard): Command {
  return atControl(new Command("drain").argument("<node>"))
    .description("takes an access node out of dispatch and sends its clients elsewhere, slowly")
    .option("--over <time>", "spread over this long, such as 60s or 5m", duration, 60)
    .action((node: string, flags: Target & { over: number }) =>
      guard(async () => (await actions()).drain(node, flags)),
    );
}

function undrainCommand(guard: Guard): Command {
  return atControl(new Command("undrain").argument("<node>"))
    .description("lets clients come to the node again")
    .action((node: string, flags: Target) =>
      guard(async () => (await actions()).undrain(node, flags)),
    );
}

function nodesCommand(guard: Guard): Command {
  return atControl(new Command("nodes"))
    .description("the live access nodes, and how far those that drain have come")
    .action((flags: Target) => guard(async () => (await actions()).listNodes(flags)));
}

function canaryCommand(guard: Guard): Command {
  const group = new Command("canary").description(
    "rules that send a part of the clients to a group of access nodes, which gets no others",
  );
  atControl(group.command("set").argument("<name>"))
    .description("makes a rule, or replaces the one of this name")
    .requiredOption("--nodes <labels>", "the nodes with these labels, such as pool=canary", labels)
    .requiredOption("--percent <share>", "of the clients that fit what follows, 0 to 100", percent)
    .option("--app <app>", "only of this app")
    .option("--platform <name...>", "only of these platforms, such as ios")
    .option("--app-version <version...>", 'only of these, such as "2.1.*"')
    .option("--label <labels>", "only with all of these labels, such as tier=gold", labels)
    .action((name: string, flags: Target & CanaryFlags) =>
      guard(async () => (await actions()).setCanary(name, flags)),
    );
  atControl(group.command("list"))
    .description("every rule, in the order in which they are tried")
    .action((flags: Target) => guard(async () => (await actions()).listCanaries(flags)));
  atControl(group.command("delete").argument("<name>"))
    .description("the nodes of the rule get clients like all others again")
    .action((name: string, flags: Target) =>
      guard(async () => (await actions()).deleteCanary(name, flags)),
    );
  return group;
}

/** "pool=canary,region=eu" */
function labels(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of text.split(",")) {
    const [, name, value] = /^([A-Za-z0-9_.-]+)=([A-Za-z0-9_.-]+)$/.exec(part.trim()) ?? [];
    if (name === undefined || value === undefined) {
      throw new InvalidArgumentError('must be "name=value", with commas between');
    }
    found[name] = value;
  }
  return found;
}

function percent(text: string): number {
  const number = Number(text.replace(/%$/, ""));
  if (text !== "" && number >= 0 && number <= 100) return number;
  throw new InvalidArgumentError("must be a number from 0 to 100");
}

function dispatchOption(): Option {
  return new Option(
    "--dispatch <how>",
    'how access points are chosen: "load", or "device", the same nodes for the same device',
  ).choices(["load", "device"]);
}

function admissionOption(): Option {
  return new Option(
    "--admission <who>",
    'who may be admitted: "key", whom the app\'s own servers let in; "open", anybody',
  ).choices(["key", "open"]);
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new InvalidArgumentError("must be a whole number");
  }
  return number;
}

/** In seconds. */
function duration(text: string): number {
  const match = /^(\d{1,6})(s|m)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("must be such as 60s or 5m");
  return Number(match[1]) * (match[2] === "m" ? 60 : 1);
}

function time(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError("must be an RFC 3339 time");
  return date;
}
