import { GenericContainer, getContainerRuntimeClient, Wait } from "testcontainers";
import { serverConfig } from "../../internal/nats-server/server-config.ts";
import { serverAnswers } from "../../internal/nats-server/server-info.ts";
import type { TestNats, TestNatsSpec } from "./nats.ts";
import { configFor } from "./nats-config.ts";

const OFFICIAL_IMAGE = "nats:2.15-alpine";
const PORT_INSIDE = 4222;
const READY_WITHIN_MS = 30_000;

/** Throws when no engine answers or the image is not to be had. */
export async function startInDocker(spec: TestNatsSpec): Promise<TestNats> {
  const image = process.env.HOLDFAST_TEST_NATS_IMAGE;
  // The reaper is one more image to pull. Who names an image of their own may have no registry,
  // and each server removes its container anyway.
  if (image !== undefined) process.env.TESTCONTAINERS_RYUK_DISABLED ??= "true";

  const { serverName, port } = spec;
  const usual = spec.hostNetwork
    ? serverConfig({ serverName, port, storeDir: "/store" })
    : serverConfig({ serverName, host: "0.0.0.0", port: PORT_INSIDE, storeDir: "/store" });
  const described = new GenericContainer(image ?? OFFICIAL_IMAGE)
    .withCommand(["-c", "/nats.conf"])
    .withCopyContentToContainer([
      { content: JSON.stringify(configFor(spec, usual)), target: "/nats.conf" },
    ])
    .withWaitStrategy(Wait.forLogMessage("Server is ready"));
  const started = await (spec.hostNetwork
    ? described.withNetworkMode("host")
    : // A chosen port, because Docker's own choice would change with each start.
      described.withExposedPorts({ container: PORT_INSIDE, host: port })
  ).start();
  const runtime = await getContainerRuntimeClient();
  const container = runtime.container.getById(started.getId());
  const ready = () => serverAnswers(spec, AbortSignal.timeout(READY_WITHIN_MS));
  await ready();

  const nats: TestNats = {
    kind: "docker",
    url: `nats://127.0.0.1:${spec.port}`,
    pid: undefined,
    storeDir: undefined,
    async start() {
      await container.start();
      await ready();
    },
    async stop() {
      await container.stop();
    },
    async kill() {
      await container.kill({ signal: "SIGKILL" });
      await container.wait();
    },
    async freeze() {
      await container.kill({ signal: "SIGSTOP" });
    },
    async thaw() {
      await container.kill({ signal: "SIGCONT" });
    },
    async restart() {
      await nats.kill();
      await nats.start();
    },
    async [Symbol.asyncDispose]() {
      await container.remove({ force: true, v: true });
    },
  };
  return nats;
}
