import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { DirectoryService } from "../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { PushService } from "../proto/gen/holdfast/push/v1/push_pb.ts";

/** What the demo needs of the push role: it is a business server like any other. */
export interface DemoClients {
  push: Pick<
    Client<typeof PushService>,
    "pushToDevices" | "pushToUsers" | "pushToRooms" | "broadcast"
  >;
  directory: Pick<Client<typeof DirectoryService>, "listRoomMembers" | "getDevices">;
}

/** `pushUrl` as "http://127.0.0.1:8090"; `key` is the app's API key and stays in this process. */
export function createDemoClients(pushUrl: string, key: string): DemoClients {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("Authorization", `Bearer ${key}`);
    return next(request);
  };
  const transport = createConnectTransport({
    baseUrl: pushUrl,
    httpVersion: "1.1",
    interceptors: [authorize],
    defaultTimeoutMs: 5_000,
  });
  return {
    push: createClient(PushService, transport),
    directory: createClient(DirectoryService, transport),
  };
}
