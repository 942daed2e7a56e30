/** What the commands of cmd/admin/command.ts do. */
import { readFile } from "node:fs/promises";
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { HoldfastError } from "../../internal/status/errors.ts";
import {
  AdminService,
  type App,
  AppSchema,
  type Canary,
  CanarySchema,
  CreateAppResponseSchema,
  CreateKeyResponseSchema,
  DrainNodeResponseSchema,
  type Key,
  KeySchema,
  type Node,
  NodeSchema,
  RevokeResponseSchema,
  RotateSigningKeyResponseSchema,
  SetCanaryResponseSchema,
  UndrainNodeResponseSchema,
} from "../../proto/gen/holdfast/admin/v1/admin_pb.ts";
import { callRpc } from "../rpc-client.ts";
import type { Target } from "../target.ts";
import type {
  AppChanges,
  CanaryFlags,
  NewKeyFlags,
  RevokeFlags,
  TokenKeyFlags,
} from "./command.ts";

export async function createApp(app: string, flags: Target & { admission?: string }) {
  const { admission = "key" } = flags;
  const made = await call(flags, (admin) => admin.createApp({ app, admission }));
  print(flags, CreateAppResponseSchema, made, [...appLines(made.app), ...secretLines(made.key)]);
}

export async function listApps(flags: Target) {
  const { apps } = await call(flags, (admin) => admin.listApps({}));
  for (const app of apps) print(flags, AppSchema, app, appLines(app));
}

export async function showApp(app: string, flags: Target) {
  printApp(flags, (await call(flags, (admin) => admin.getApp({ app }))).app);
}

export async function setApp(app: string, flags: Target & AppChanges) {
  const { admission, dispatch } = flags;
  const change = {
    app,
    ...(admission !== undefined && { admission }),
    ...(dispatch !== undefined && { dispatch }),
  };
  printApp(flags, (await call(flags, (admin) => admin.setApp(change))).app);
}

export async function deleteApp(app: string, flags: Target) {
  await call(flags, (admin) => admin.deleteApp({ app }));
}

export async function createKey(app: string, flags: Target & NewKeyFlags) {
  const { name, rpc, business, targetPrefix, rate, expires } = flags;
  const made = await call(flags, (admin) =>
    admin.createKey({
      app,
      name: name ?? "",
      scope: {
        rpcs: rpc ?? [],
        businesses: business ?? [],
        targetPrefixes: targetPrefix ?? [],
        callsPerSecond: rate ?? 0,
      },
      ...(expires && { expiresAt: timestampFromDate(expires) }),
    }),
  );
  print(flags, CreateKeyResponseSchema, made, secretLines(made.key));
}

export async function listKeys(app: string, flags: Target) {
  const { keys } = await call(flags, (admin) => admin.listKeys({ app }));
  for (const key of keys) print(flags, KeySchema, key, [keyLine(key)]);
}

export async function revokeKey(app: string, keyId: string, flags: Target) {
  await call(flags, (admin) => admin.revokeKey({ app, keyId }));
}

export async function rotate(flags: Target) {
  const made = await call(flags, (admin) => admin.rotateSigningKey({}));
  print(flags, RotateSigningKeyResponseSchema, made, [`signing with ${made.kid}`]);
}

export async function setTokenKey(app: string, kid: string, flags: Target & TokenKeyFlags) {
  const { algorithm, secretFile, publicKey, jwksUrl = "" } = flags;
  const tokenKey = {
    kid,
    algorithm,
    secret: await contentOf(secretFile),
    publicKey: await contentOf(publicKey),
    jwksUrl,
  };
  printApp(flags, (await call(flags, (admin) => admin.setTokenKey({ app, tokenKey }))).app);
}

export async function deleteTokenKey(app: string, kid: string, flags: Target) {
  printApp(flags, (await call(flags, (admin) => admin.deleteTokenKey({ app, kid }))).app);
}

export async function revoke(app: string, flags: Target & RevokeFlags) {
  const { device: devices = [], user: users = [], tokenId: tokenIds = [] } = flags;
  const done = await call(flags, (admin) => admin.revoke({ app, devices, users, tokenIds }));
  print(flags, RevokeResponseSchema, done, [`revoked ${done.revoked}`]);
}

export async function drain(node: string, flags: Target & { over: number }) {
  const overSeconds = flags.over;
  const done = await call(flags, (admin) => admin.drainNode({ node, overSeconds }));
  print(flags, DrainNodeResponseSchema, done, done.nodes);
}

export async function undrain(node: string, flags: Target) {
  const done = await call(flags, (admin) => admin.undrainNode({ node }));
  print(flags, UndrainNodeResponseSchema, done, done.nodes);
}

export async function listNodes(flags: Target) {
  const { nodes } = await call(flags, (admin) => admin.listNodes({}));
  for (const node of nodes) print(flags, NodeSchema, node, [nodeLine(node)]);
}

function nodeLine({ node, connections, serving, draining, drainedFrom, labels }: Node): string {
  const parts = [node, `${connections} connections`, ...Object.entries(labels).map(labelText)];
  if (draining)
    parts.push(`draining, ${Math.max(0, drainedFrom - connections)} of ${drainedFrom} left it`);
  else if (!serving) parts.push("takes no logins");
  return parts.join("  ");
}

export async function setCanary(name: string, flags: Target & CanaryFlags) {
  const { nodes, percent, app = "", platform = [], appVersion = [], label = {} } = flags;
  const canary = { name, nodes, percent, app };
  const clients = { platforms: platform, appVersions: appVersion, labels: label };
  const done = await call(flags, (admin) => admin.setCanary({ canary: { ...canary, ...clients } }));
  const reached =
    done.nodes.length === 0
      ? ["no live node has these labels yet: clients go where they go without the rule"]
      : done.nodes.map((node) => `  ${node}`);
  const lines = done.canary === undefined ? [] : [canaryLine(done.canary)];
  print(flags, SetCanaryResponseSchema, done, [...lines, ...reached]);
}

export async function listCanaries(flags: Target) {
  const { canaries } = await call(flags, (admin) => admin.listCanaries({}));
  for (const canary of canaries) print(flags, CanarySchema, canary, [canaryLine(canary)]);
}

export async function deleteCanary(name: string, flags: Target) {
  await call(flags, (admin) => admin.deleteCanary({ name }));
}

function labelText(label: readonly string[]): string {
  return label.join("=");
}

function canaryLine({ name, nodes, percent, app, ...clients }: Canary): string {
  const labels = (of: Record<string, string>) => Object.entries(of).map(labelText).join(",");
  const parts = [name, `${percent}%`, `to ${labels(nodes)}`];
  if (app !== "") parts.push(`app ${app}`);
  if (clients.platforms.length > 0) parts.push(`platforms ${clients.platforms.join(",")}`);
  if (clients.appVersions.length > 0) parts.push(`versions ${clients.appVersions.join(",")}`);
  if (Object.keys(clients.labels).length > 0) parts.push(`labels ${labels(clients.labels)}`);
  return parts.join("  ");
}

function call<T>(target: Target, action: (admin: Client<typeof AdminService>) => Promise<T>) {
  return callRpc(AdminService, target, action);
}

function print<Desc extends DescMessage>(
  { json }: Target,
  schema: Desc,
  message: MessageShape<Desc>,
  lines: readonly string[],
): void {
  if (json) console.log(JSON.stringify(toJson(schema, message, { alwaysEmitImplicit: true })));
  else console.log(lines.join("\n"));
}

function printApp(flags: Target, app: App | undefined): void {
  if (app !== undefined) print(flags, AppSchema, app, appLines(app));
}

function appLines(app: App | undefined): string[] {
  if (app === undefined) return [];
  const keys = app.tokenKeys.map(({ kid, algorithm }) => `  token key ${kid} (${algorithm})`);
  return [`${app.app}  admission ${app.admission}`, ...keys];
}

function secretLines(key: Key | undefined): string[] {
  if (key === undefined) return [];
  return [`key ${key.id}`, `secret ${key.secret}`, "(it is not shown again)"];
}

function keyLine({ id, name, expiresAt, scope }: Key): string {
  const parts = [id, name || "-"];
  if (expiresAt !== undefined) parts.push(`until ${timestampDate(expiresAt).toISOString()}`);
  if (scope !== undefined) {
    if (scope.rpcs.length > 0) parts.push(`rpcs ${scope.rpcs.join(",")}`);
    if (scope.businesses.length > 0) parts.push(`businesses ${scope.businesses.join(",")}`);
    if (scope.targetPrefixes.length > 0) parts.push(`targets ${scope.targetPrefixes.join("*,")}*`);
    if (scope.callsPerSecond > 0) parts.push(`${scope.callsPerSecond} calls/s`);
  }
  return parts.join("  ");
}

async function contentOf(file: string | undefined): Promise<string> {
  if (file === undefined) return "";
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (cause) {
    throw new HoldfastError("invalid", `${file}: cannot be read: ${cause}`, { cause });
  }
}
