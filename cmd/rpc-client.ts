import type { DescService } from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { HoldfastError } from "../internal/status/errors.ts";
import type { Target } from "./target.ts";

/**
 * Calls the gateway that the command is for.
 * @throws HoldfastError `invalid` with the words of the gateway.
 */
export async function callRpc<Service extends DescService, T>(
  service: Service,
  { url, key }: Target,
  action: (client: Client<Service>) => Promise<T>,
): Promise<T> {
  const authorize: Interceptor = (next) => (request) => {
    if (key !== undefined) request.header.set("Authorization", `Bearer ${key}`);
    return next(request);
  };
  const interceptors = [authorize];
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1", interceptors });
  try {
    return await action(createClient(service, transport));
  } catch (error) {
    const { message } = ConnectError.from(error);
    throw new HoldfastError("invalid", `${url}: ${message}`, { cause: error });
  }
}
