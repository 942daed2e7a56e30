import { TokenIssuer } from "../../../internal/auth/token-issuer.ts";
import { NatsBucket } from "../../../internal/bus/bucket.ts";
import { connectToNats } from "../../support/nats-connection.ts";

const GOOD_FOR_MS = 900_000;
const AT_ONCE = 10_000;

/** Signed as control does it; Admit has its own cost and its own figures. */
export async function mint(natsUrl: string, devices: readonly string[]): Promise<string[]> {
  await using connection = await connectToNats(natsUrl);
  const issuer = await TokenIssuer.open(new NatsBucket(connection, "hf_key"));
  const expiresAtMs = Date.now() + GOOD_FOR_MS;
  const tokens: string[] = [];
  for (let from = 0; from < devices.length; from += AT_ONCE) {
    const some = devices.slice(from, from + AT_ONCE);
    const identity = (device: string) => ({ app: "demo", device, user: "" });
    tokens.push(
      ...(await Promise.all(some.map((device) => issuer.issue(identity(device), expiresAtMs)))),
    );
  }
  return tokens;
}

/** `<prefix>-0` and so on. */
export function deviceNames(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
}
