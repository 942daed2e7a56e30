import { generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { TokenIssuer, TokenVerifier } from "../../internal/auth/tokens.ts";
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
    verifier = await TokenVerifier.follow(secrets);
  });

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
    const token = await issuer.issue(ALICE, expiry);
    expect(await verifier.verify(token)).toEqual({ ...ALICE, expiresAtMs: expiry });
  });

  it("verifies whichever control process signed it", async () => {
    const other = await TokenIssuer.open(secrets);
    await expect(verifier.verify(await other.issue(ALICE, inAMinute()))).resolves.toBeDefined();
  });

  it("is refused as expired after its time", async () => {
    const token = await issuer.issue(ALICE, Date.now() - 1_000);
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: "expired" });
  });

  it("is refused when it was not signed", async () => {
    const token = new UnsecuredJWT({ app: "demo" })
      .setSubject("d")
      .setExpirationTime("1m")
      .encode();
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  it("is refused when it was signed with another algorithm", async () => {
    const { privateKey } = await generateKeyPair("EdDSA");
    const token = await new SignJWT({ app: "demo" })
      .setProtectedHeader({ alg: "EdDSA" })
      .setSubject("d")
      .setExpirationTime("1m")
      .sign(privateKey);
    await expect(verifier.verify(token)).rejects.toThrow(/algorithm must be HS256/);
  });

  it("is refused when another deployment signed it", async () => {
    const elsewhere = await TokenIssuer.open(new MemoryBucket());
    const token = await elsewhere.issue(ALICE, inAMinute());
    await expect(verifier.verify(token)).rejects.toThrow(/key this gateway does not know/);
  });

  it("is refused when its payload was changed", async () => {
    const [header, , signature] = (await issuer.issue(ALICE, inAMinute())).split(".");
    const payload = Buffer.from(JSON.stringify({ app: "demo", sub: "mallory" })).toString(
      "base64url",
    );
    await expect(verifier.verify(`${header}.${payload}.${signature}`)).rejects.toThrow(
      /signature does not verify/,
    );
  });

  it.each([
    ["is meant for somebody else", (t: SignJWT) => t.setAudience("billing"), /claim aud/],
    ["comes from another issuer", (t: SignJWT) => t.setIssuer("mallory"), /claim iss/],
  ])("is refused when it %s", async (_case, change, message) => {
    await expect(verifier.verify(await forge(change))).rejects.toThrow(message);
  });

  it.each(["", "x", "a.b.c", "\u0000", "é".repeat(20)])(
    "is refused when it is garbage: %j",
    async (token) => {
      await expect(verifier.verify(token)).rejects.toMatchObject({ code: "unauthenticated" });
    },
  );
});
