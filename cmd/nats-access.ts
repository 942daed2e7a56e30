/** Which NATS, and as whom. */
import type { ConnectOptions } from "../internal/bus/connect.ts";
import { parseServers } from "../internal/bus/servers.ts";
import type { Config } from "../internal/config/options.ts";
import { EMBEDDED_USER, keptPassword } from "../internal/nats-server/password.ts";

export type NatsAccess = Pick<ConnectOptions, "urls" | "credsFile" | "login">;

const LOOPBACK = /^(127\.[\d.]+|\[::1\]|localhost):/;

/**
 * Who is told no user takes that of an embedded server whose data folder it shares, if that may be the server
 * meant: a role that is started beside `holdfast all`, and the commands.
 */
export async function natsAccess(
  config: Pick<Config, "natsCreds" | "natsUser" | "natsPassword" | "dataDir">,
  urls: readonly string[],
): Promise<NatsAccess> {
  const { natsCreds: credsFile, natsUser: user, natsPassword: password, dataDir } = config;
  if (user !== undefined && password !== undefined) {
    return { urls, credsFile, login: { user, password } };
  }
  const { addresses, credentials } = parseServers(urls);
  const local = addresses.every((address) => LOOPBACK.test(address));
  if (credsFile !== undefined || credentials !== undefined || !local) return { urls, credsFile };
  const kept = await keptPassword(dataDir);
  return { urls, ...(kept !== undefined && { login: { user: EMBEDDED_USER, password: kept } }) };
}
