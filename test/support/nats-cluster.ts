/**
 * A NATS cluster of three servers with JetStream, for streams with three copies:
 *
 *     await using cluster = await testCluster();
 *     const nc = await connect({ servers: cluster.urls });
 *     await cluster.servers[0].kill();
 *
 * In containers or on this machine, as nats.ts decides. Every server keeps its port and its store
 * however it ends.
 */
import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { eventually } from "./eventually.ts";
import { freePorts } from "./free-ports.ts";
import { startTestServer, type TestNats, type TestNatsSpec } from "./nats.ts";
import { startLocally } from "./nats-local.ts";

const SIZE = 3;

export interface ClusterServer extends TestNats {
  /** As JetStream names leaders and peers. */
  readonly name: string;
}

export interface TestCluster extends AsyncDisposable {
  readonly servers: readonly ClusterServer[];
  readonly urls: string[];
  server(name: string): ClusterServer;
}

export interface ClusterOptions {
  /** See TestNatsSpec. */
  syncInterval?: string | undefined;
  /** Where each server is at home; on this machine, whatever HOLDFAST_TEST_NATS says. Default: all on loopback. */
  homes?: readonly ServerHome[] | undefined;
}

export type ServerHome = Pick<TestNatsSpec, "host" | "namespace" | "makeStore">;

/** Starts the servers and waits until JetStream takes streams with three copies. */
export async function testCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  await using started = new AsyncDisposableStack();
  const [first, ...others] = await clusterSpecs(options);
  const startMember = memberStarter(options);
  // The first one decides between Docker and this machine for all.
  const servers = [started.use(await startMember(first!))];
  servers.push(
    ...(await Promise.all(others.map(startMember))).map((server) => started.use(server)),
  );
  const urls = servers.map((server) => server.url);
  await jetStreamReady(urls);

  const running = started.move();
  return {
    servers,
    urls,
    server(name) {
      const found = servers.find((server) => server.name === name);
      if (found === undefined) throw new Error(`no server named ${name} in this cluster`);
      return found;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function memberStarter({ homes }: ClusterOptions) {
  const start = homes === undefined ? startTestServer : startLocally;
  return async (spec: TestNatsSpec): Promise<ClusterServer> => {
    const server = await start(spec);
    return Object.assign(server, { name: spec.serverName });
  };
}

async function clusterSpecs({ syncInterval, homes = [] }: ClusterOptions): Promise<TestNatsSpec[]> {
  const id = randomBytes(4).toString("hex");
  const ports = await freePorts(2 * SIZE);
  const clientPorts = ports.slice(0, SIZE);
  const routePorts = ports.slice(SIZE);
  const hostOf = (index: number) => homes[index]?.host ?? "127.0.0.1";
  return clientPorts.map((port, index) => ({
    ...homes[index],
    serverName: `test-${id}-${index + 1}`,
    port,
    syncInterval,
    config: {
      cluster: {
        name: `test-${id}`,
        host: hostOf(index),
        port: routePorts[index],
        routes: routePorts.map((route, at) => `nats://${hostOf(at)}:${route}`),
      },
    },
    hostNetwork: true,
  }));
}

/** A server greets clients before the cluster has a leader, and without one no stream can be made. */
async function jetStreamReady(urls: string[]): Promise<void> {
  await using connection = await connect({ servers: urls });
  await eventually("the cluster takes a stream with three copies", async () => {
    const name = "READY";
    try {
      const manager = await jetstreamManager(connection, { timeout: 2_000 });
      await manager.streams.add({ name, subjects: ["test.ready"], num_replicas: SIZE });
      return await manager.streams.delete(name);
    } catch {
      return false;
    }
  });
}
