/** The push role over a fake cluster, behind a real port. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type HttpServer, startHttpServer } from "../../internal/http/server.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { createPush, type Push, type PushOptions } from "../../internal/push/create.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { DirectoryService } from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { quietLogger } from "../support/logger.ts";
import { APP, FakeCluster, PARTITIONS } from "./fake-cluster.ts";

export const API_KEY = "right";

export interface Served extends AsyncDisposable {
  cluster: FakeCluster;
  push: Push;
  server: HttpServer;
  client: Client<typeof PushService>;
  directory: Client<typeof DirectoryService>;
}

const apps = {
  authorize(app: string, bearer: string | undefined) {
    if (app !== APP || bearer !== API_KEY) {
      throw new HoldfastError("unauthenticated", "app and API key do not go together");
    }
  },
};

export async function serve(options: Partial<PushOptions> = {}): Promise<Served> {
  const cluster = new FakeCluster();
  const nodes = new NodeRegistry({ messages: cluster.messages });
  const push = createPush({
    messages: cluster.messages,
    highMessages: cluster.highMessages,
    link: cluster.link,
    buckets: { routes: cluster.routes, users: cluster.users, rooms: cluster.rooms },
    roomAppender: cluster.roomAppender,
    apps,
    nodes,
    partitions: PARTITIONS,
    ...options,
  });
  const server = await startHttpServer({
    listen: { host: "127.0.0.1", port: 0 },
    log: quietLogger,
    ready: push.ready,
    routes: push.routes,
  });
  const transport = transportTo(server.url);
  return {
    cluster,
    push,
    server,
    client: createClient(PushService, transport),
    directory: createClient(DirectoryService, transport),
    async [Symbol.asyncDispose]() {
      nodes[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

export function transportTo(baseUrl: string, key: string | undefined = API_KEY): Transport {
  return createConnectTransport({
    baseUrl,
    httpVersion: "1.1",
    interceptors: [
      (next) => (request) => {
        if (key !== undefined) request.header.set("Authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
}
