/** A client of the SDK and a fake gateway for it, taken down again after each test. */
import { afterEach } from "vitest";
import {
  type ConnectOptions,
  connect,
  type HoldfastClient,
  type Message,
  type Status,
} from "../../sdk/index.ts";
import { eventually } from "../support/eventually.ts";
import { FakeControl, FakeNode, type FakeNodeOptions } from "./fake-gateway.ts";

export let cleanup = new AsyncDisposableStack();

afterEach(async () => {
  const now = cleanup;
  cleanup = new AsyncDisposableStack();
  await now.disposeAsync();
});

export interface Started {
  client: HoldfastClient;
  node: FakeNode;
  control: FakeControl;
  statuses: Status[];
  messages: Message[];
  errors: unknown[];
}

/** A client, on its way to a node of its own. */
export async function start(
  nodeOptions: FakeNodeOptions = {},
  options: Partial<ConnectOptions> = {},
): Promise<Started> {
  const node = cleanup.use(await FakeNode.start(nodeOptions));
  const control = cleanup.use(await FakeControl.start(node));
  return { node, control, ...open(control, options) };
}

export function open(control: FakeControl, options: Partial<ConnectOptions> = {}) {
  const client = cleanup.use(
    connect({
      admit: control.url,
      app: "demo",
      device: "phone",
      user: "alice",
      backoff: { baseMs: 20, capMs: 100 },
      ...options,
    } as ConnectOptions),
  );
  const statuses: Status[] = [];
  const messages: Message[] = [];
  const errors: unknown[] = [];
  client.on("status", (status) => statuses.push(status));
  client.on("message", (message) => void messages.push(message));
  client.on("error", (error) => errors.push(error));
  return { client, statuses, messages, errors };
}

export const online = (client: HoldfastClient) =>
  eventually("the client is online", () => client.status.state === "online");
