/**
 * Every option of every role, in one table: the command line, the environment, the config file, the
 * help text and docs are all made from it. An option `natsUrl` is `--nats-url`,
 * `HOLDFAST_NATS_URL` and `"natsUrl"` in the file; the flag wins over the environment, that over the file.
 */
import { z } from "zod";

/** Where to listen. Port 0 means a free port, printed at start. */
export interface ListenAddress {
  host: string;
  port: number;
}

const listen = z.string().transform((text, context): ListenAddress => {
  // "[::1]:8080" or "127.0.0.1:8080".
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    context.addIssue({ code: "custom", message: 'must be "host:port" with a port of 0 to 65535' });
    return z.NEVER;
  }
  return { host, port };
});

const integer = (min: number, max: number) => {
  const message = `must be a whole number from ${min} to ${max}`;
  return z.coerce.number({ error: message }).int(message).min(min, message).max(max, message);
};

const natsUrls = z.string().transform((text, context): string[] => {
  const urls = text.split(",").map((url) => url.trim());
  for (const url of urls) {
    if (!/^(nats|tls):\/\/[^/\s]+\/?$/.test(url)) {
      const message =
        'must be one or more "nats://host:port" or "tls://host:port", with commas between';
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    }
  }
  return urls;
});

const urlOf = (protocols: string) =>
  z
    .string()
    .regex(
      new RegExp(`^(${protocols})://[^\\s]+$`),
      `must be a URL that starts with ${protocols.replace("|", ":// or ")}://`,
    );

const list = z.string().transform((text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== ""),
);

/** A name that can stand in an incarnation and in a NATS subject as it is. */
const name = z
  .string()
  .regex(/^[A-Za-z0-9_]{1,40}$/, "must be 1 to 40 letters, digits or underscores");

const key = z
  .string()
  .regex(/^\S+$/, "must not be empty or hold spaces")
  .max(256, "must be at most 256 characters");

const labels = z.string().transform((text, context): Record<string, string> => {
  const found: Record<string, string> = {};
  for (const part of text.split(",").map((one) => one.trim())) {
    const [, name, value] = /^([A-Za-z0-9_.-]{1,64})=([A-Za-z0-9_.-]{1,64})$/.exec(part) ?? [];
    if (part === "") continue;
    if (name === undefined || value === undefined || name in found) {
      const message = 'must be "name=value" with commas between, each name once';
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    }
    found[name] = value;
  }
  return found;
});

const bool = z
  .union([z.boolean(), z.enum(["true", "false", "1", "0"])], { error: "must be true or false" })
  .transform((value) => value === true || value === "true" || value === "1");

interface Option {
  schema: z.ZodType;
  /** As a person would write it; undefined: unset. */
  fallback: string | undefined;
  help: string;
}

const option = <S extends z.ZodType, F extends string | undefined>(
  schema: S,
  fallback: F,
  help: string,
) => ({
  schema,
  fallback,
  help,
});

export const OPTIONS = {
  natsUrl: option(natsUrls, undefined, "NATS to use; unset: an embedded nats-server is run"),
  natsCreds: option(z.string(), undefined, "file with NATS credentials"),
  natsUser: option(z.string().min(1, "must not be empty"), undefined, "NATS user"),
  natsPassword: option(z.string().min(1, "must not be empty"), undefined, "its password"),
  natsServer: option(
    z.string(),
    undefined,
    "nats-server program for the embedded one; unset: found or fetched",
  ),
  natsPort: option(
    integer(0, 65_535),
    "4222",
    "port of the embedded NATS; another if it is taken; 0: a free one",
  ),
  dataDir: option(
    z.string().min(1, "must not be empty"),
    ".holdfast",
    "folder for the embedded NATS and the generated key",
  ),
  nodeName: option(name, undefined, "name of this node; unset: made from host and process"),
  labels: option(
    labels,
    "",
    "of this access node, such as region=eu,pool=canary: Admit and canary rules choose by them",
  ),
  weight: option(
    integer(1, 1_000),
    "100",
    "the share of clients meant for this access node against the others",
  ),
  controlListen: option(listen, "127.0.0.1:8080", "control API, health, console"),
  pushListen: option(listen, "127.0.0.1:8090", "push and directory API, health"),
  wsListen: option(listen, "127.0.0.1:9000", "WebSocket clients, path /connect"),
  tcpListen: option(listen, "127.0.0.1:9001", "TCP clients"),
  metricsListen: option(listen, "127.0.0.1:9464", "Prometheus metrics, path /metrics"),
  wsUrl: option(
    urlOf("ws|wss"),
    undefined,
    "what clients are told to connect to; unset: the listening address",
  ),
  tcpUrl: option(
    urlOf("tcp|tls"),
    undefined,
    "what clients are told to connect to; unset: the listening address",
  ),
  tlsCert: option(
    z.string(),
    undefined,
    "PEM file with the certificate chain for clients; unset: no TLS",
  ),
  tlsKey: option(z.string(), undefined, "PEM file with its private key"),
  allowedOrigins: option(list, "", "web origins that may connect, with commas between; empty: all"),
  sharePorts: option(
    bool,
    "false",
    "let other processes of this host listen on the same client ports",
  ),
  workers: option(integer(1, 256), "1", "access processes that share the client ports"),
  partitions: option(
    integer(1, 1024),
    undefined,
    "partitions of the log, fixed for the life of a deployment; unset: as it was set up, at first 16",
  ),
  logStreams: option(
    integer(1, 64),
    undefined,
    "JetStream streams that carry the partitions, fixed as well; unset: as it was set up, at first 1",
  ),
  replicas: option(
    integer(1, 5),
    undefined,
    "copies of each stream, 3 in a NATS cluster; of a first start, later by `deployment set`; unset: as it was set up, at first 1",
  ),
  storeMaxBytes: option(
    integer(1_048_576, Number.MAX_SAFE_INTEGER),
    undefined,
    "what all streams may take of each server's store, likewise; unset: as it was set up, at first 16 GiB or what a smaller store allows",
  ),
  logMaxBytes: option(
    integer(1_048_576, Number.MAX_SAFE_INTEGER),
    undefined,
    "most bytes of one log stream, likewise; unset: its part of the store",
  ),
  maxConnections: option(integer(1, 10_000_000), "1000000", "connections one access process takes"),
  maxConnectionsPerIp: option(
    integer(0, 10_000_000),
    "0",
    "connections from one address; 0: no limit",
  ),
  maxConnectsPerSecond: option(
    integer(1, 1_000_000),
    "20000",
    "new connections one access process takes in a second",
  ),
  maxFrameBytes: option(integer(1_024, 1_048_576), "65536", "longest frame a client may send"),
  heartbeatSeconds: option(integer(1, 3_600), "30", "how often a client in the foreground pings"),
  drainSeconds: option(
    integer(0, 3_600),
    "0",
    "when it is stopped, a node first drains over this long; 0: its clients are closed at once",
  ),
  isolationSeconds: option(
    integer(5, 86_400),
    "120",
    "alone for this long, a node sends its clients elsewhere",
  ),
  tokenSeconds: option(integer(10, 900), "600", "how long a token from Admit is good for"),
  devKey: option(
    key,
    undefined,
    'API key of app "demo"; unset: with an embedded NATS, generated and printed',
  ),
  adminKey: option(
    key,
    undefined,
    "key of the operator: apps, keys, revocation, drain; unset: operatorKey, else the key of app demo",
  ),
  operatorKey: option(key, undefined, "former name of adminKey"),
  logLevel: option(
    z.enum(["trace", "debug", "info", "warn", "error", "fatal"], {
      error: "must be trace, debug, info, warn, error or fatal",
    }),
    "info",
    "least important level that is logged",
  ),
  demo: option(bool, "false", "serve the demo page and its chat business"),
} satisfies Record<string, Option>;

export type OptionName = keyof typeof OPTIONS;
export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

type Values = {
  [N in OptionName]: (typeof OPTIONS)[N]["fallback"] extends string
    ? z.output<(typeof OPTIONS)[N]["schema"]>
    : z.output<(typeof OPTIONS)[N]["schema"]> | undefined;
};

export type Config = Readonly<Values>;

/** What may be shown of an option's value: of keys and passwords nothing, of URLs not their users. */
export function shownValue(option: OptionName, value: unknown): unknown {
  if (option === "natsPassword" || (option.endsWith("Key") && option !== "tlsKey")) {
    return "[redacted]";
  }
  if (option !== "natsUrl") return value;
  return Array.isArray(value) ? value.map(withoutUser) : withoutUser(value);
}

function withoutUser(url: unknown): unknown {
  return typeof url === "string" ? url.replace(/\/\/[^/,\s]*@/g, "//[redacted]@") : url;
}

/** `natsUrl` → `HOLDFAST_NATS_URL`. */
export function envName(option: OptionName): string {
  return `HOLDFAST_${words(option).join("_").toUpperCase()}`;
}

/** `natsUrl` → `--nats-url`. */
export function flagName(option: OptionName): string {
  return `--${words(option).join("-").toLowerCase()}`;
}

function words(option: string): string[] {
  return option.split(/(?=[A-Z])/);
}
