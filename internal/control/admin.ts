/** AdminService: what an operator does to a running deployment. */
import { createPublicKey } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  AdminService,
  AppSchema,
  Canary,
  KeySchema,
  Scope,
  TokenKey as TokenKeyMessage,
} from "../../proto/gen/holdfast/admin/v1/admin_pb.ts";
import type {
  Admission,
  ApiKey,
  AppRecord,
  CanaryRule,
  Dispatching,
  KeyScope,
  TokenKey,
} from "../../streams/records.ts";
import { WHOLE_SCOPE } from "../../streams/records.ts";
import type { Apps } from "../auth/apps.ts";
import { revoke } from "../auth/revocations.ts";
import type { SigningKeys } from "../auth/signing-keys.ts";
import type { Bucket } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Canaries } from "./canary.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Operator } from "./operator.ts";
import type { NodeOrders } from "./orders.ts";

/** RFC 7518, section 3.2: a key of HS256 has at least the size of its hash. */
const HS256_BYTES = 32;

export interface AdminOptions {
  apps: Apps;
  keys: SigningKeys;
  /** `hf_revoked` */
  revoked: Bucket;
  operator: Operator;
  orders: NodeOrders;
  canaries: Pick<Canaries, "list" | "set" | "delete">;
  dispatch: Pick<Dispatch, "nodesWith">;
  clock: Clock;
}

export function createAdminService(options: AdminOptions): ServiceImpl<typeof AdminService> {
  const { apps, keys, revoked, operator, orders, canaries, dispatch, clock } = options;
  const shown = (app: string) => {
    const record = apps.get(app);
    if (record === undefined)
      throw new HoldfastError("not-found", `app: there is none named ${app}`);
    return appOf(app, record);
  };
  /** Each method behind the operator key. */
  const guarded =
    <Request, Response>(method: (request: Request) => Response) =>
    (request: Request, context: HandlerContext): Response => {
      operator.require(context);
      return method(request);
    };

  return {
    createApp: guarded(async ({ app, admission }) => {
      const { key, secret } = await apps.create(app, admissionOf(admission));
      return { app: shown(app), key: keyOf(key, secret) };
    }),
    listApps: guarded(() => ({ apps: apps.list().map(({ app, record }) => appOf(app, record)) })),
    getApp: guarded(({ app }) => ({ app: shown(app) })),
    setApp: guarded(async ({ app, admission, dispatch: how }) => {
      await apps.set(app, {
        ...(admission !== undefined && { admission: admissionOf(admission) }),
        ...(how !== undefined && { dispatch: how as Dispatching }),
      });
      return { app: shown(app) };
    }),
    deleteApp: guarded(async ({ app }) => {
      await apps.delete(app);
      return {};
    }),

    createKey: guarded(async ({ app, name, expiresAt, scope }) => {
      const made = await apps.createKey(app, {
        name,
        expiresAt: expiresAt === undefined ? 0 : timestampMs(expiresAt),
        scope: scopeOf(scope),
      });
      return { key: keyOf(made.key, made.secret) };
    }),
    listKeys: guarded(({ app }) => {
      shown(app);
      return { keys: (apps.get(app)?.keys ?? []).map((key) => keyOf(key, "")) };
    }),
    revokeKey: guarded(async ({ app, keyId }) => {
      await apps.revokeKey(app, keyId);
      return {};
    }),

    setTokenKey: guarded(async ({ app, tokenKey }) => {
      await apps.setTokenKey(app, checkedTokenKey(tokenKey));
      return { app: shown(app) };
    }),
    deleteTokenKey: guarded(async ({ app, kid }) => {
      await apps.deleteTokenKey(app, kid);
      return { app: shown(app) };
    }),
    rotateSigningKey: guarded(async () => ({ kid: (await keys.rotate()).kid })),

    revoke: guarded(async ({ app, devices, users, tokenIds }) => {
      const what = [
        ...devices.map((id) => ({ kind: "device" as const, id })),
        ...users.map((id) => ({ kind: "user" as const, id })),
        ...tokenIds.map((id) => ({ kind: "token" as const, id })),
      ];
      await revoke(revoked, app, what, clock.now());
      return { revoked: what.length };
    }),

    drainNode: guarded(({ node, overSeconds }) => ({ nodes: orders.drain(node, overSeconds) })),
    undrainNode: guarded(({ node }) => ({ nodes: orders.undrain(node) })),
    listNodes: guarded(() => ({
      nodes: orders.list().map(({ incarnation, name, ...beat }) => {
        const { connections, serving, draining, drainedFrom, labels, weight, version } = beat;
        const says = { connections, serving, draining, drainedFrom, labels, weight, version };
        return { node: incarnation, name, ...says };
      }),
    })),

    setCanary: guarded(async ({ canary }) => {
      const rule = ruleOf(canary);
      await canaries.set(rule);
      return { canary: canaryOf(rule), nodes: dispatch.nodesWith(rule.nodes) };
    }),
    listCanaries: guarded(() => ({ canaries: canaries.list().map(canaryOf) })),
    deleteCanary: guarded(async ({ name }) => {
      await canaries.delete(name);
      return {};
    }),
  };
}

function admissionOf(text: string): Admission {
  return text.toLowerCase() === "open" ? "open" : "key";
}

function scopeOf(scope: Scope | undefined): KeyScope {
  if (scope === undefined) return WHOLE_SCOPE;
  const { businesses, rpcs, targetPrefixes, callsPerSecond } = scope;
  return { businesses, rpcs, targetPrefixes, callsPerSecond };
}

function ruleOf(canary: Canary | undefined): CanaryRule {
  if (canary === undefined) throw new HoldfastError("invalid", "canary: must be set");
  const { name, nodes, percent, app, platforms, appVersions, labels } = canary;
  return { name, nodes, percent, app, platforms, appVersions, labels };
}

function canaryOf({ nodes, labels, platforms, appVersions, ...rule }: CanaryRule) {
  return {
    ...rule,
    nodes: { ...nodes },
    labels: { ...labels },
    platforms: [...platforms],
    appVersions: [...appVersions],
  };
}

/** Secrets of token keys are never shown again. */
function appOf(
  app: string,
  { admission, tokenKeys, dispatch = "load" }: Omit<AppRecord, "keys">,
): MessageInitShape<typeof AppSchema> {
  const keys = tokenKeys.map((key) => ({ ...key, secret: "" }));
  return { app, admission, dispatch, tokenKeys: keys };
}

function keyOf(
  { id, name, createdAt, expiresAt, scope }: ApiKey,
  secret: string,
): MessageInitShape<typeof KeySchema> {
  return {
    id,
    secret,
    name,
    createdAt: timestampFromMs(createdAt),
    ...(expiresAt > 0 && { expiresAt: timestampFromMs(expiresAt) }),
    scope,
  };
}

/** @throws HoldfastError `invalid` naming the field. */
function checkedTokenKey(message: TokenKeyMessage | undefined): TokenKey {
  if (message === undefined) throw new HoldfastError("invalid", "token_key: must be set");
  const { kid, algorithm, secret, publicKey, jwksUrl } = message;
  if (algorithm === "HS256") {
    if (publicKey !== "" || jwksUrl !== "") {
      throw new HoldfastError("invalid", "token_key: HS256 has a secret and nothing else");
    }
    if (Buffer.from(secret, "base64url").length < HS256_BYTES) {
      throw new HoldfastError(
        "invalid",
        `token_key.secret: at least ${HS256_BYTES} bytes, base64url`,
      );
    }
  } else if (secret !== "" || (publicKey === "") === (jwksUrl === "")) {
    throw new HoldfastError(
      "invalid",
      `token_key: ${algorithm} has either a public_key or a jwks_url, and no secret`,
    );
  }
  if (publicKey !== "") checkPublicKey(publicKey, algorithm);
  return { kid, algorithm: algorithm as TokenKey["algorithm"], secret, publicKey, jwksUrl };
}

const KEY_TYPES: Record<string, string> = { ES256: "ec", EdDSA: "ed25519" };

function checkPublicKey(pem: string, algorithm: string): void {
  let type: string | undefined;
  try {
    type = createPublicKey(pem).asymmetricKeyType;
  } catch (cause) {
    throw new HoldfastError("invalid", "token_key.public_key: not a public key in PEM", { cause });
  }
  if (pem.includes("PRIVATE")) {
    throw new HoldfastError("invalid", "token_key.public_key: that is a private key; keep it");
  }
  if (type !== KEY_TYPES[algorithm]) {
    throw new HoldfastError("invalid", `token_key.public_key: not one for ${algorithm}`);
  }
}
