/** A caller that has the .proto files and an ordinary gRPC library, and nothing of ours. */
import { fileURLToPath } from "node:url";
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));

/** Calls the methods of one service by their names. Rejects with the library's own error. */
export interface GrpcCaller extends Disposable {
  call(method: string, request: object, metadata?: Metadata): Promise<object>;
  /** A call that is answered by a stream. */
  stream(method: string, request: object): ClientReadableStream<object>;
  /** Sends all, and gives all that came back. */
  converse(method: string, requests: readonly object[]): Promise<object[]>;
}

/** Of a service in a .proto file, at "host:port". */
export function grpcClient(file: string, service: string, address: string): GrpcCaller {
  const definition = loadSync(file, {
    includeDirs: [PROTO, `${PROTO}/vendor`],
    keepCase: true,
    enums: String,
  });
  const loaded = loadPackageDefinition(definition);
  return callerOf(loaded, service, address, credentials.createInsecure());
}

/** Of a service by its full name, in what the library has loaded. */
export function callerOf(
  loaded: GrpcObject,
  service: string,
  address: string,
  security: ChannelCredentials,
): GrpcCaller {
  const Service = serviceIn(loaded, service);
  const client = new Service(address, security);
  const bound = (name: string) => {
    const method = client[name];
    if (method === undefined) throw new Error(`no ${name} in ${service}`);
    return method.bind(client);
  };
  return {
    call: (method, request, metadata = new Metadata()) =>
      new Promise((done, failed) => {
        bound(method)(request, metadata, (error: Error | null, reply: object) => {
          if (error) failed(error);
          else done(reply);
        });
      }),
    stream: (method, request) => bound(method)(request),
    async converse(method, requests) {
      const stream: ClientDuplexStream<object, object> = bound(method)();
      for (const request of requests) stream.write(request);
      stream.end();
      return stream.toArray();
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** The library types a loaded package as a tree of anything. */
function serviceIn(loaded: GrpcObject, name: string): ServiceClientConstructor {
  let found: unknown = loaded;
  for (const part of name.split(".")) found = (found as Record<string, unknown>)[part];
  if (typeof found !== "function") throw new Error(`no service ${name}`);
  return found as ServiceClientConstructor;
}

export interface GrpcPushReply {
  message_id: string;
  results: { target: string; status: string }[];
}

/** PushToDevices at "host:port". */
export async function grpcPush(
  address: string,
  key: string,
  request: object,
): Promise<GrpcPushReply> {
  const file = "holdfast/push/v1/push.proto";
  using push = grpcClient(file, "holdfast.push.v1.PushService", address);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return (await push.call("PushToDevices", request, metadata)) as GrpcPushReply;
}
