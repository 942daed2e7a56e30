/** The push role over a fake cluster, behind a real port. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type HttpServer, startHttpServer } from "../../internal/http/server.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { createPush, type Push, type PushOptions } from "../../internal/push/create.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { DirectoryService } from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { type ApiKey, WHOLE_SCOPE } from "../../streams/records.ts";
import { quietLogger } from "../support/logger.ts";
import { APP, FakeCluster, MemoryGround, PARTITIONS } from "./fake-cluster.ts";

export const API_KEY = "right";

/** A port, and clients of it with the right key. */
export interface Port extends AsyncDisposable {
  push: Push;
  server: HttpServer;
  client: Client<typeof PushService>;
  directory: Client<typeof DirectoryService>;
}

export interface Served extends Port {
  cluster: FakeCluster<MemoryGround>;
}

/** What the key may do; a test may narrow it for a while. */
export const keyScope = { now: WHOLE_SCOPE };

const apps = {
  recognize(bearer: string | undefined) {
    if (bearer !== API_KEY)
      throw new HoldfastError("unauthenticated", "app and API key do not go together");
  },
  authorize(app: string, bearer: string | undefined): ApiKey {
    if (app !== APP || bearer !== API_KEY) {
      throw new HoldfastError("unauthenticated", "app and API key do not go together");
    }
    return { id: "k", hash: "", name: "", createdAt: 0, expiresAt: 0, scope: keyScope.now };
  },
};

/** Over a cluster in memory. */
export async function serve(options: Partial<PushOptions> = {}): Promise<Served> {
  const ground = new MemoryGround();
  const cluster = new FakeCluster(ground);
  return { cluster, ...(await servePush({ ...ground, buckets: ground, ...options })) };
}

export async function servePush(
  options: Omit<PushOptions, "apps" | "nodes" | "partitions">,
): Promise<Port> {
  const nodes = new NodeRegistry({ messages: options.messages });
  const push = createPush({ ...options, apps, nodes, partitions: PARTITIONS });
  const server = await startHttpServer({
    listen: { host: "127.0.0.1", port: 0 },
    log: quietLogger,
    ready: push.ready,
    routes: push.routes,
    doorkeeper: push.doorkeeper,
  });
  const transport = transportTo(server.url);
  return {
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
