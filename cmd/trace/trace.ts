import { ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { HoldfastError } from "../../internal/status/errors.ts";
import { DirectoryService } from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import type { TraceFlags } from "./command.ts";
import { timeline } from "./timeline.ts";

export async function trace(messageId: string, { url, key, app }: TraceFlags): Promise<void> {
  const authorize: Interceptor = (next) => (request) => {
    if (key !== undefined) request.header.set("Authorization", `Bearer ${key}`);
    return next(request);
  };
  const interceptors = [authorize];
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors });
  try {
    const directory = createClient(DirectoryService, transport);
    const { deliveries } = await directory.getMessage({ app, messageId });
    console.log(deliveries.flatMap(timeline).join("\n"));
  } catch (error) {
    throw new HoldfastError("invalid", ConnectError.from(error).message, { cause: error });
  }
}
