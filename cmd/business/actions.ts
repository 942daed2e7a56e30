/** What the commands of `holdfast business` do, by the API of the push role. */
import { create, toJson } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type Business,
  Business_Mode,
  Business_Protocol,
  BusinessRegistryService,
  BusinessSchema,
} from "../../proto/gen/holdfast/business/v1/registry_pb.ts";
import { callRpc } from "../rpc-client.ts";
import type { AppTarget as Target } from "../target.ts";
import type { Settings } from "./command.ts";

const MODES = {
  stream: Business_Mode.STREAM,
  request: Business_Mode.REQUEST,
  rpc: Business_Mode.RPC,
};

export async function setBusiness(name: string, flags: Target & Settings): Promise<void> {
  const business = businessOf(name, flags);
  print(await call(flags, (registry) => registry.setBusiness({ app: flags.app, business })));
}

export async function getBusiness(business: string, flags: Target): Promise<void> {
  print(await call(flags, (registry) => registry.getBusiness({ app: flags.app, business })));
}

export async function listBusinesses(flags: Target): Promise<void> {
  const { businesses } = await call(flags, (registry) =>
    registry.listBusinesses({ app: flags.app }),
  );
  for (const business of businesses) print({ business });
}

export async function deleteBusiness(business: string, flags: Target): Promise<void> {
  await call(flags, (registry) => registry.deleteBusiness({ app: flags.app, business }));
}

function businessOf(name: string, settings: Settings): Business {
  const {
    mode,
    rpcUrl = "",
    grpc,
    ordered = false,
    rate = 0,
    maxStoredBytes = 0,
    ...limits
  } = settings;
  const { timeoutMs, concurrency, queue, maxPayloadBytes, maxReplyBytes } = limits;
  return create(BusinessSchema, {
    business: name,
    mode: MODES[mode],
    url: rpcUrl,
    protocol: grpc ? Business_Protocol.GRPC : Business_Protocol.CONNECT,
    ordered,
    ratePerConnection: rate,
    maxStoredBytes: BigInt(maxStoredBytes),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(concurrency !== undefined && { concurrency }),
    ...(queue !== undefined && { queue }),
    ...(maxPayloadBytes !== undefined && { maxPayloadBytes }),
    ...(maxReplyBytes !== undefined && { maxReplyBytes }),
  });
}

function call<T>(
  target: Target,
  action: (registry: Client<typeof BusinessRegistryService>) => Promise<T>,
): Promise<T> {
  return callRpc(BusinessRegistryService, target, action);
}

function print({ business }: { business?: Business | undefined }): void {
  if (business === undefined) return;
  console.log(JSON.stringify(toJson(BusinessSchema, business, { alwaysEmitImplicit: true })));
}
