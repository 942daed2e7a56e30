/** What the commands of `holdfast business` do, by the API of the push role. */
import { create, toJson } from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { HoldfastError } from "../../internal/status/errors.ts";
import {
  type Business,
  Business_Mode,
  Business_Protocol,
  BusinessRegistryService,
  BusinessSchema,
} from "../../proto/gen/holdfast/business/v1/registry_pb.ts";
import type { Settings, Target } from "./command.ts";

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

async function call<T>(
  { url, key }: Target,
  action: (registry: Client<typeof BusinessRegistryService>) => Promise<T>,
): Promise<T> {
  const authorize: Interceptor = (next) => (request) => {
    if (key !== undefined) request.header.set("Authorization", `Bearer ${key}`);
    return next(request);
  };
  const interceptors = [authorize];
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors });
  try {
    return await action(createClient(BusinessRegistryService, transport));
  } catch (error) {
    throw new HoldfastError("invalid", ConnectError.from(error).message, { cause: error });
  }
}

function print({ business }: { business?: Business | undefined }): void {
  if (business === undefined) return;
  console.log(JSON.stringify(toJson(BusinessSchema, business, { alwaysEmitImplicit: true })));
}
