/**
 * A real NATS server for one test file:
 *
 *     await using nats = await testNats();
 *     const nc = await connect({ servers: nats.url });
 *
 * In a container where a Docker engine answers, else the binary on this machine.
 * HOLDFAST_TEST_NATS=local or =docker forces one of the two.
 */

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../internal/nats-server/free-port.ts";

export interface TestNats extends AsyncDisposable {
  readonly kind: "docker" | "local";
  readonly url: string;
  /** Its process on this machine; undefined in a container. */
  readonly pid: number | undefined;
  /** The folder of its store on this machine; undefined in a container. */
  readonly storeDir: string | undefined;
  /** Starts it again on the same port with the same store. */
  start(): Promise<void>;
  /** Ends it in good order. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  /** Holds it with SIGSTOP: its connections stay open, but nothing answers. */
  freeze(): void | Promise<void>;
  /** Lets a frozen server go on. */
  thaw(): void | Promise<void>;
  /** `kill` and `start`. */
  restart(): Promise<void>;
}

export interface TestNatsSpec {
  readonly serverName: string;
  /** The port on this machine. */
  readonly port: number;
  /** Server settings on top of the usual ones; `undefined` takes one out. */
  readonly config: Record<string, unknown>;
  /** In Docker: share this machine's loopback, as servers that talk to each other must. */
  readonly hostNetwork: boolean;
  /** The address to listen on. Default: loopback. On this machine only, as what follows. */
  readonly host?: string;
  /** The network namespace to run in. */
  readonly namespace?: string | undefined;
  /** Puts something in the place of the store's folder, and gives what takes it away again. */
  readonly makeStore?: ((storeDir: string) => Promise<() => Promise<void>>) | undefined;
  /** How often JetStream syncs: "always", or a time. Default: as the embedded server does. */
  readonly syncInterval?: string | undefined;
}

export async function testNats(
  options: { config?: Record<string, unknown> } = {},
): Promise<TestNats> {
  const spec: TestNatsSpec = {
    serverName: `test-${randomBytes(4).toString("hex")}`,
    port: await freePort(),
    config: options.config ?? {},
    hostNetwork: false,
  };
  return startTestServer(spec);
}

/** Where HOLDFAST_TEST_NATS says, else in Docker if it can be had, else on this machine. */
export async function startTestServer(spec: TestNatsSpec): Promise<TestNats> {
  switch (process.env.HOLDFAST_TEST_NATS) {
    case "local":
      return onThisMachine(spec);
    case "docker":
      return inDocker(spec);
    default:
      return (await inDockerIfPossible(spec)) ?? onThisMachine(spec);
  }
}

let worthTryingDocker = dockerMayRun();

async function inDockerIfPossible(spec: TestNatsSpec): Promise<TestNats | undefined> {
  if (!worthTryingDocker) return undefined;
  try {
    return await inDocker(spec);
  } catch (error) {
    worthTryingDocker = false;
    console.warn(`No NATS in Docker, using the local nats-server instead: ${error}`);
    return undefined;
  }
}

// Loaded when needed: testcontainers alone takes longer to load than a local server to start.
async function inDocker(spec: TestNatsSpec): Promise<TestNats> {
  return (await import("./nats-docker.ts")).startInDocker(spec);
}

async function onThisMachine(spec: TestNatsSpec): Promise<TestNats> {
  return (await import("./nats-local.ts")).startLocally(spec);
}

/** A cheap look for the places where Docker engines listen. */
function dockerMayRun(): boolean {
  const sockets = [
    "/var/run/docker.sock",
    join(homedir(), ".docker/run/docker.sock"),
    join(process.env.XDG_RUNTIME_DIR ?? "/nowhere", "docker.sock"),
  ];
  return process.env.DOCKER_HOST !== undefined || sockets.some((socket) => existsSync(socket));
}
