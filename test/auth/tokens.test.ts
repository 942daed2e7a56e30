import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { SignJWT, UnsecuredJWT } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { Apps } from "../../internal/auth/apps.ts";
import { KeySets } from "../../internal/auth/jwks.ts";
import { Revocations, revoke } from "../../internal/auth/revocations.ts";
import { SigningKeys } from "../../internal/auth/signing-keys.ts";
import { TokenIssuer } from "../../internal/auth/token-issuer.ts";
import { TokenVerifier } from "../../internal/auth/token-verifier.ts";
import { decodeJson } from "../../streams/records.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";

const ALICE = { app: "demo", device: "alice.phone 📱", user: "alice" };
const inAMinute = () => Date.now() + 60_000;

describe("a token from Admit", () => {
  let secrets: MemoryBucket;
  let issuer: TokenIssuer;
  let verifier: TokenVerifier;

  beforeEach(async () => {
    secrets = new MemoryBucket();
    issuer = await TokenIssuer.open(secrets);
    verifier = new TokenVerifier({ keys: await SigningKeys.follow(secrets) });
  });

  /** What `verify` says, also where it says it at once. */
  const verify = async (token: string) => verifier.verify(token);

  const forge = async (
    change: (token: SignJWT) => SignJWT,
    header: Record<string, string> = {},
  ) => {
    const { kid, secret } = decodeJson<{ kid: string; secret: string }>(
      secrets.entries.get("current")!.value!,
    );
    const token = new SignJWT({ app: "demo" })
      .setProtectedHeader({ alg: "HS256", kid, ...header })
      .setIssuer("holdfast")
      .setAudience("holdfast-access")
      .setSubject("d")
      .setExpirationTime("1m");
    return change(token).sign(Buffer.from(secret, "base64url"));
  };

  it("tells the access node app, device, user and expiry", async () => {
    const expiry = Math.floor(inAMinute() / 1000) * 1000;
    const token = issuer.issue(ALICE, expiry);
    expect(await verify(token)).toMatchObject({ ...ALICE, expiresAtMs: expiry });
  });

  it("verifies whichever control process signed it", async () => {
    const other = await TokenIssuer.open(secrets);
    await expect(verify(other.issue(ALICE, inAMinute()))).resolves.toBeDefined();
  });

  it("is refused as expired after its time", async () => {
    const token = issuer.issue(ALICE, Date.now() - 10_000);
    await expect(verify(token)).rejects.toMatchObject({ code: "expired" });
  });

  it("is refused when it was not signed", async () => {
    const token = new UnsecuredJWT({ app: "demo" })
      .setSubject("d")
      .setExpirationTime("1m")
      .encode();
    await expect(verify(token)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  it("is refused when it was signed with another algorithm", async () => {
    const { kid } = decodeJson<{ kid: string }>(secrets.entries.get("current")!.value!);
    const token = await new SignJWT({ app: "demo" })
      .setProtectedHeader({ alg: "EdDSA", kid })
      .setSubject("d")
      .setExpirationTime("1m")
      .sign(generateKeyPairSync("ed25519").privateKey);
    await expect(verify(token)).rejects.toThrow(/algorithm must be HS256/);
  });

  it("is refused when another deployment signed it", async () => {
    const elsewhere = await TokenIssuer.open(new MemoryBucket());
    const token = elsewhere.issue(ALICE, inAMinute());
    await expect(verify(token)).rejects.toThrow(/key this gateway does not know/);
  });

  it("is refused when its payload was changed", async () => {
    const [header, , signature] = issuer.issue(ALICE, inAMinute()).split(".");
    const payload = Buffer.from(JSON.stringify({ app: "demo", sub: "mallory" })).toString(
      "base64url",
    );
    await expect(verify(`${header}.${payload}.${signature}`)).rejects.toThrow(
      /signature does not verify/,
    );
  });

  it.each([
    ["is meant for somebody else", (t: SignJWT) => t.setAudience("billing"), /claim aud/],
    ["comes from another issuer", (t: SignJWT) => t.setIssuer("mallory"), /claim iss/],
  ])("is refused when it %s", async (_case, change, message) => {
    await expect(verify(await forge(change))).rejects.toThrow(message);
  });

  it.each(["", "x", "a.b.c", "\u0000", "é".repeat(20)])(
    "is refused when it is garbage: %j",
    async (token) => {
      await expect(verify(token)).rejects.toMatchObject({ code: "unauthenticated" });
    },
  );

  it("is good until it expires when the key was changed, and is signed with the new one", async () => {
    const keys = await SigningKeys.follow(secrets);
    const before = issuer.issue(ALICE, inAMinute());
    const { kid } = await keys.rotate();
    await expect(verify(before)).resolves.toBeDefined();
    // Another process signs with it once every node can know it.
    const fresh = await TokenIssuer.open(secrets);
    expect(kidOf(fresh.issue(ALICE, inAMinute()))).toBe(kid);
    await expect(verify(fresh.issue(ALICE, inAMinute()))).resolves.toBeDefined();
    expect(kidOf(new TokenIssuer(keys).issue(ALICE, inAMinute()))).not.toBe(kid);
  });

  it("is refused everywhere when its key is deleted", async () => {
    const token = issuer.issue(ALICE, inAMinute());
    const { revision } = secrets.entries.get("current")!;
    secrets.delete("current", revision, () => {});
    await new Promise(setImmediate);
    await expect(verify(token)).rejects.toThrow(/key this gateway does not know/);
  });

  it("says what it may do", async () => {
    const grants = { rooms: ["lobby", "team-*"], businesses: ["chat"], labels: { region: "eu" } };
    expect(await verify(issuer.issue(ALICE, inAMinute(), grants))).toMatchObject(grants);
  });
});

describe("a token that was revoked", () => {
  it.each([
    ["its device", { kind: "device" as const, id: ALICE.device }],
    ["its user", { kind: "user" as const, id: ALICE.user }],
  ])("by %s is refused, and one that is issued afterwards is not", async (_what, which) => {
    const { issuer, verifier, revoked, now } = await setting();
    const before = issuer.issue(ALICE, inAMinute());
    await revoke(revoked, "demo", [which], now());
    expect(() => verifier.verify(before)).toThrow(/was revoked/);
    await new Promise((later) => setTimeout(later, 2));
    expect(await verifier.verify(issuer.issue(ALICE, inAMinute()))).toMatchObject(ALICE);
    const other = { ...ALICE, device: "another", user: "bob" };
    expect(await verifier.verify(issuer.issue(other, inAMinute()))).toMatchObject(other);
  });

  it("by its own id is refused, and no other", async () => {
    const { issuer, verifier, revoked, now } = await setting();
    const [one, two] = [issuer.issue(ALICE, inAMinute()), issuer.issue(ALICE, inAMinute())];
    const { id } = await verifier.verify(one);
    await revoke(revoked, "demo", [{ kind: "token", id }], now());
    expect(() => verifier.verify(one)).toThrow(/was revoked/);
    expect(await verifier.verify(two)).toMatchObject(ALICE);
  });

  it("names at least one thing", async () => {
    const { revoked, now } = await setting();
    await expect(revoke(revoked, "demo", [], now())).rejects.toThrow(/at least one/);
  });
});

describe("a token that an app has signed", () => {
  const secret = randomBytes(32);
  const ed = generateKeyPairSync("ed25519");
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pemOf = (key: KeyObject) => String(key.export({ type: "spki", format: "pem" }));

  const sign = (
    header: { alg: string; kid: string },
    key: KeyObject | Uint8Array,
    change: (token: SignJWT) => SignJWT = (token) => token,
  ) =>
    change(
      new SignJWT({ user: "alice" })
        .setProtectedHeader(header)
        .setIssuer("shop")
        .setAudience("holdfast-access")
        .setSubject("phone")
        .setIssuedAt()
        .setExpirationTime("5m"),
    ).sign(key);

  const withKeys = async () => {
    const at = await setting();
    await at.apps.create("shop", "key");
    await at.apps.create("other", "key");
    const key = { secret: "", publicKey: "", jwksUrl: "" };
    const hs256 = { ...key, kid: "h", algorithm: "HS256" as const };
    await at.apps.setTokenKey("shop", { ...hs256, secret: secret.toString("base64url") });
    const eddsa = { ...key, kid: "e", algorithm: "EdDSA" as const };
    await at.apps.setTokenKey("shop", { ...eddsa, publicKey: pemOf(ed.publicKey) });
    const es256 = { ...key, kid: "c", algorithm: "ES256" as const };
    await at.apps.setTokenKey("shop", { ...es256, publicKey: pemOf(ec.publicKey) });
    return at;
  };

  it.each([
    ["HS256", "h", secret],
    ["EdDSA", "e", ed.privateKey],
    ["ES256", "c", ec.privateKey],
  ])("with %s lets its device in", async (alg, kid, key) => {
    const { verifier } = await withKeys();
    const token = await sign({ alg, kid }, key);
    expect(await verifier.verify(token)).toMatchObject({
      app: "shop",
      device: "phone",
      user: "alice",
    });
  });

  it.each<[string, () => Promise<string>, RegExp]>([
    [
      "names another app",
      () => sign({ alg: "HS256", kid: "h" }, secret, (t) => t.setIssuer("other")),
      /does not know/,
    ],
    [
      "is for somebody else",
      () => sign({ alg: "HS256", kid: "h" }, secret, (t) => t.setAudience("x")),
      /claim aud/,
    ],
    [
      "is good for longer than 15 minutes",
      () => sign({ alg: "HS256", kid: "h" }, secret, (t) => t.setExpirationTime("1h")),
      /more than 15 minutes/,
    ],
    [
      "is made with the public key as a secret",
      () => sign({ alg: "HS256", kid: "e" }, Buffer.from(pemOf(ed.publicKey))),
      /algorithm must be EdDSA/,
    ],
    [
      "names a key of another algorithm",
      () => sign({ alg: "HS256", kid: "c" }, secret),
      /algorithm must be ES256/,
    ],
    [
      "names no key that there is",
      () => sign({ alg: "HS256", kid: "zz" }, secret),
      /does not know/,
    ],
    [
      "comes from the future",
      () => sign({ alg: "HS256", kid: "h" }, secret, (t) => t.setNotBefore("2m")),
      /not good yet/,
    ],
  ])("is refused when it %s", async (_what, token, message) => {
    const { verifier } = await withKeys();
    const text = await token();
    expect(() => verifier.verify(text)).toThrow(message);
  });

  it("is refused as soon as its key, or its app, is gone", async () => {
    const { verifier, apps } = await withKeys();
    const [one, two] = [
      await sign({ alg: "HS256", kid: "h" }, secret),
      await sign({ alg: "EdDSA", kid: "e" }, ed.privateKey),
    ];
    await apps.deleteTokenKey("shop", "h");
    expect(() => verifier.verify(one)).toThrow(/does not know/);
    await apps.delete("shop");
    expect(() => verifier.verify(two)).toThrow(/does not know/);
  });

  it("is checked against the app's JWK set, which is fetched once", async () => {
    let fetched = 0;
    const jwk = { ...createPublicKey(ed.privateKey).export({ format: "jwk" }), kid: "j" };
    const keySets = new KeySets({
      fetch: async () => {
        fetched += 1;
        return new Response(JSON.stringify({ keys: [{ kid: "broken", kty: "?" }, jwk] }));
      },
    });
    const { verifier, apps } = await setting(keySets);
    await apps.create("shop", "key");
    const key = { secret: "", publicKey: "", jwksUrl: "https://shop.example/keys" };
    await apps.setTokenKey("shop", { ...key, kid: "j", algorithm: "EdDSA" });
    const token = await sign({ alg: "EdDSA", kid: "j" }, ed.privateKey);
    expect(await verifier.verify(token)).toMatchObject({ app: "shop" });
    expect(await verifier.verify(token)).toMatchObject({ app: "shop" });
    expect(fetched).toBe(1);
    await apps.setTokenKey("shop", { ...key, kid: "gone", algorithm: "EdDSA" });
    const unknown = await sign({ alg: "EdDSA", kid: "gone" }, ed.privateKey);
    await expect(verifier.verify(unknown)).rejects.toThrow(/not in the app's JWK set/);
    expect(fetched).toBe(1);
  });

  it("waits for nobody when its JWK set cannot be had", async () => {
    const keySets = new KeySets({ fetch: async () => new Response("", { status: 500 }) });
    const { verifier, apps } = await setting(keySets);
    await apps.create("shop", "key");
    const key = { secret: "", publicKey: "", jwksUrl: "https://shop.example/keys" };
    await apps.setTokenKey("shop", { ...key, kid: "j", algorithm: "EdDSA" });
    const token = await sign({ alg: "EdDSA", kid: "j" }, ed.privateKey);
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: "unavailable" });
  });
});

async function setting(keySets?: KeySets) {
  const secrets = new MemoryBucket();
  const revoked = new MemoryBucket();
  const issuer = await TokenIssuer.open(secrets);
  const apps = await Apps.follow(new MemoryBucket());
  await apps.ensure("demo", "k", "open");
  const keys = await SigningKeys.follow(secrets);
  const revocations = await Revocations.follow(revoked);
  const verifier = new TokenVerifier({ keys, apps, revocations, ...(keySets && { keySets }) });
  return { issuer, verifier, apps, revoked, now: () => Date.now() };
}

function kidOf(token: string): string {
  return JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid;
}
