/** A caller that has the .proto files and an ordinary gRPC library, and nothing of ours. */
import { fileURLToPath } from "node:url";
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));

export interface GrpcPushReply {
  message_id: string;
  results: { target: string; status: string }[];
}

/** PushToDevices at "host:port". Rejects with the library's own error. */
export function grpcPush(address: string, key: string, request: object): Promise<GrpcPushReply> {
  const definition = loadSync("holdfast/push/v1/push.proto", {
    includeDirs: [PROTO, `${PROTO}/vendor`],
    keepCase: true,
    enums: String,
  });
  // The library types a loaded package as a tree of anything.
  const loaded = loadPackageDefinition(definition) as unknown as {
    holdfast: { push: { v1: { PushService: ServiceClientConstructor } } };
  };
  const { PushService } = loaded.holdfast.push.v1;
  const client = new PushService(address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return new Promise((done, failed) => {
    const method = client.PushToDevices;
    if (method === undefined) throw new Error("no PushToDevices in the .proto");
    method.call(client, request, metadata, (error: Error | null, reply: GrpcPushReply) => {
      client.close();
      if (error) failed(error);
      else done(reply);
    });
  });
}
