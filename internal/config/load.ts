import { readFileSync } from "node:fs";
import { HoldfastError, invalidBecause } from "../status/errors.ts";
import {
  type Config,
  envName,
  flagName,
  OPTION_NAMES,
  OPTIONS,
  type OptionName,
  shownValue,
} from "./options.ts";

export interface ConfigSources {
  /** From the command line, by option name. */
  flags: Partial<Record<OptionName, unknown>>;
  env: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file; also `HOLDFAST_CONFIG`. */
  file?: string | undefined;
}

/**
 * The configuration, checked and frozen.
 * @throws HoldfastError `invalid` with every mistake and where it was made.
 */
export function loadConfig(sources: ConfigSources): Config {
  const mistakes: string[] = [];
  const file = readFile(sources.file ?? sources.env.HOLDFAST_CONFIG, mistakes);
  const values: Record<string, unknown> = {};
  for (const option of OPTION_NAMES) {
    const given = find(option, sources, file);
    if (given === undefined) continue;
    const parsed = OPTIONS[option].schema.safeParse(given.value);
    if (parsed.success) values[option] = parsed.data;
    else mistakes.push(`${given.where} ${reason(parsed.error)}, not ${shown(option, given.value)}`);
  }
  mistakes.push(...contradictions(values));
  if (mistakes.length > 0) throw invalidBecause("The configuration cannot be used", mistakes);
  return Object.freeze(values) as Config;
}

function find(option: OptionName, sources: ConfigSources, file: Record<string, unknown>) {
  const flag = sources.flags[option];
  if (flag !== undefined) return { value: flag, where: flagName(option) };
  const env = sources.env[envName(option)];
  // An empty variable is how shells and compose files say "unset".
  if (env !== undefined && env !== "") return { value: env, where: envName(option) };
  if (file[option] !== undefined)
    return { value: file[option], where: `"${option}" in the config file` };
  const fallback = OPTIONS[option].fallback;
  return fallback === undefined ? undefined : { value: fallback, where: option };
}

function readFile(path: string | undefined, mistakes: string[]): Record<string, unknown> {
  if (path === undefined || path === "") return {};
  try {
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof content !== "object" || content === null || Array.isArray(content)) {
      throw new HoldfastError("invalid", "must hold one JSON object");
    }
    const known = new Set<string>(OPTION_NAMES);
    for (const field of Object.keys(content)) {
      if (!known.has(field)) mistakes.push(`"${field}" in the config file is not an option`);
    }
    return content as Record<string, unknown>;
  } catch (error) {
    mistakes.push(`config file ${path}: ${HoldfastError.from(error).message}`);
    return {};
  }
}

function contradictions(values: Record<string, unknown>): string[] {
  const mistakes: string[] = [];
  if ((values.tlsCert === undefined) !== (values.tlsKey === undefined)) {
    mistakes.push("tlsCert and tlsKey go together: set both or neither");
  }
  if ((values.natsUser === undefined) !== (values.natsPassword === undefined)) {
    mistakes.push("natsUser and natsPassword go together: set both or neither");
  }
  if (Number(values.logStreams) > Number(values.partitions ?? Number.POSITIVE_INFINITY)) {
    mistakes.push("logStreams must not be more than partitions");
  }
  return mistakes;
}

function reason(error: { issues: { message: string }[] }): string {
  return error.issues[0]?.message ?? "is not usable";
}

function shown(option: OptionName, value: unknown): string {
  // Keys are secrets, also when they are wrong.
  const may = shownValue(option, value);
  return may === "[redacted]" ? "what was given" : JSON.stringify(may);
}
