import { HoldfastError, invalidBecause } from "../status/errors.ts";

/** What the URLs of NATS servers say, taken apart. */
export interface Servers {
  /** `host:port`; in brackets for IPv6. */
  addresses: string[];
  /** At least one of them asks for TLS. */
  tls: boolean;
  credentials: Credentials | undefined;
}

export type Credentials = { user: string; password: string } | { token: string };

const DEFAULT_PORT = "4222";
const PROTOCOLS = ["nats:", "tls:"];

/**
 * Reads NATS URLs such as `nats://host:4222`, `tls://user:password@host` or `nats://token@host`;
 * each may also be a list with commas between. The client library takes no credentials from
 * URLs, and one connection has one set of them, so URLs that name any must name the same.
 * @throws HoldfastError `invalid`, with every mistake.
 */
export function parseServers(urls: readonly string[]): Servers {
  const mistakes: string[] = [];
  const servers: Servers = { addresses: [], tls: false, credentials: undefined };
  for (const text of urls.flatMap((list) => list.split(",")).map((url) => url.trim())) {
    const url = URL.parse(text);
    if (url === null || !PROTOCOLS.includes(url.protocol) || url.hostname === "") {
      mistakes.push(`"${redacted(text)}" is not of the form nats://[user:password@]host[:port]`);
      continue;
    }
    servers.addresses.push(`${url.hostname}:${url.port || DEFAULT_PORT}`);
    servers.tls ||= url.protocol === "tls:";
    const credentials = credentialsOf(url);
    if (credentials === undefined) continue;
    servers.credentials ??= credentials;
    if (JSON.stringify(servers.credentials) !== JSON.stringify(credentials)) {
      mistakes.push(`"${redacted(text)}" has other credentials than a URL before it`);
    }
  }
  if (mistakes.length > 0) throw invalidBecause("NATS URLs", mistakes);
  if (servers.addresses.length === 0) throw new HoldfastError("invalid", "no NATS URL was given");
  return servers;
}

function credentialsOf(url: URL): Credentials | undefined {
  if (url.username === "") return undefined;
  const user = decodeURIComponent(url.username);
  // A user without a password is a token, as in every NATS client.
  return url.password === ""
    ? { token: user }
    : { user, password: decodeURIComponent(url.password) };
}

function redacted(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//…@");
}
