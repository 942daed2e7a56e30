/** The registry of businesses as an API. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  Business_Mode,
  Business_Protocol,
  type Business as BusinessMessage,
  type BusinessRegistryService,
  type BusinessSchema,
} from "../../proto/gen/holdfast/business/v1/registry_pb.ts";
import { BUSINESS_DEFAULTS, type Business } from "../../streams/records.ts";
import type { BusinessStore } from "../businesses/store.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Gate } from "./gate.ts";

export interface BusinessesOptions {
  gate: Gate;
  store: BusinessStore;
}

export function createBusinessRegistryService(
  options: BusinessesOptions,
): ServiceImpl<typeof BusinessRegistryService> {
  const { gate, store } = options;
  return {
    async setBusiness({ app, business }, context) {
      gate.enter(app, context, { business: business?.business });
      if (business === undefined) throw new HoldfastError("invalid", "business: must be set");
      const record = toRecord(business);
      await store.set(app, business.business, record);
      return { business: toMessage(business.business, record) };
    },

    async getBusiness({ app, business }, context) {
      gate.enter(app, context, { business });
      return { business: toMessage(business, await store.get(app, business)) };
    },

    async listBusinesses({ app }, context) {
      gate.enter(app, context);
      const found = await store.list(app);
      return { businesses: found.map(({ name, record }) => toMessage(name, record)) };
    },

    async deleteBusiness({ app, business }, context) {
      gate.enter(app, context, { business });
      await store.delete(app, business);
      return {};
    },
  };
}

const MODE_OF = {
  stream: Business_Mode.STREAM,
  request: Business_Mode.REQUEST,
  rpc: Business_Mode.RPC,
} as const;

/** Its fields are checked by the rules in the .proto, but for what makes a URL one that can be called. */
function toRecord(message: BusinessMessage): Business {
  const { url, timeoutMs, concurrency, queue, maxPayloadBytes, maxReplyBytes } = message;
  const problem = url === "" ? undefined : urlProblem(url);
  if (problem !== undefined) throw new HoldfastError("invalid", `business.url: ${problem}`);
  return {
    mode: modeOf(message.mode),
    url,
    protocol: message.protocol === Business_Protocol.GRPC ? "grpc" : "connect",
    timeoutMs: timeoutMs ?? BUSINESS_DEFAULTS.timeoutMs,
    concurrency: concurrency ?? BUSINESS_DEFAULTS.concurrency,
    queue: queue ?? BUSINESS_DEFAULTS.queue,
    ordered: message.ordered,
    maxPayloadBytes: maxPayloadBytes ?? BUSINESS_DEFAULTS.maxPayloadBytes,
    maxReplyBytes: maxReplyBytes ?? BUSINESS_DEFAULTS.maxReplyBytes,
    ratePerConnection: message.ratePerConnection,
    maxStoredBytes: Number(message.maxStoredBytes),
  };
}

function modeOf(mode: Business_Mode): Business["mode"] {
  switch (mode) {
    case Business_Mode.STREAM:
      return "stream";
    case Business_Mode.REQUEST:
      return "request";
    case Business_Mode.RPC:
      return "rpc";
    default:
      throw new HoldfastError("invalid", "business.mode: must be STREAM, REQUEST or RPC");
  }
}

/** Credentials in a URL would be shown to whoever may read the registry. */
function urlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return "is not a URL";
  if (url.username !== "" || url.password !== "") return "must not hold credentials";
  if (url.search !== "" || url.hash !== "") return "must not have a query or fragment";
  return undefined;
}

function toMessage(name: string, record: Business): MessageInitShape<typeof BusinessSchema> {
  return {
    ...record,
    maxStoredBytes: BigInt(record.maxStoredBytes ?? 0),
    business: name,
    mode: MODE_OF[record.mode],
    protocol: record.protocol === "grpc" ? Business_Protocol.GRPC : Business_Protocol.CONNECT,
  };
}
