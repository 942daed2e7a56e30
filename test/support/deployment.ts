/**
 * A whole deployment: each role in processes of its own against one NATS, as an operator runs it.
 *
 *     await using deployment = await startDeployment({ natsUrls: [nats.url], access: 2, projectors: 2 });
 *     await deployment.access[0].kill();
 */
import { listNodes } from "./api.ts";
import { eventually } from "./eventually.ts";
import { freePorts } from "./free-ports.ts";
import { type GatewayProcess, ready, startGateway } from "./gateway.ts";

export interface DeploymentOptions {
  natsUrls: readonly string[];
  access: number;
  /** Access nodes in each access process, on one port. Default: 1, the process itself. */
  workers?: number;
  projectors: number;
  /** For every process. */
  env?: Record<string, string>;
}

/** A process of a deployment, which keeps its name and its ports however often it is started. */
export interface Member {
  readonly name: string;
  /** The present run, or the last one. */
  readonly process: GatewayProcess;
  /** What all of its runs printed, a line each. */
  output(): string[];
  /** Starts it, and resolves when its process runs; it may not serve yet. */
  start(): Promise<void>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
}

export interface AccessMember extends Member {
  /** "ws://127.0.0.1:<port>/connect". */
  readonly wsUrl: string;
}

export interface Deployment extends AsyncDisposable {
  readonly control: Member;
  readonly push: Member;
  readonly access: readonly AccessMember[];
  readonly projectors: readonly Member[];
  /** Base URLs of the two APIs. */
  readonly controlUrl: string;
  readonly pushUrl: string;
}

/** Six processes that start at once share the processors with the tests beside them. */
const READY_WITHIN_MS = 50_000;

/** Resolves when control and push are ready and every access node is known. */
export async function startDeployment(options: DeploymentOptions): Promise<Deployment> {
  const { natsUrls, workers = 1, env } = options;
  const [controlPort, pushPort, ...clientPorts] = await freePorts(2 + 2 * options.access);
  const listen = (port: number | undefined) => `127.0.0.1:${port}`;
  const wsListen = (index: number) => listen(clientPorts[2 * index]);
  const start = (role: string, name: string, own: Record<string, string> = {}) =>
    startMember(role, name, {
      HOLDFAST_NATS_URL: natsUrls.join(","),
      HOLDFAST_NODE_NAME: name,
      ...env,
      ...own,
    });

  const control = await start("control", "control", {
    HOLDFAST_CONTROL_LISTEN: listen(controlPort),
  });
  const push = await start("push", "push", { HOLDFAST_PUSH_LISTEN: listen(pushPort) });
  const projectors = await several(options.projectors, (index) =>
    start("projector", `projector${index + 1}`),
  );
  const access = await several(options.access, async (index) => {
    const node = await start("access", `access${index + 1}`, {
      HOLDFAST_WS_LISTEN: wsListen(index),
      HOLDFAST_TCP_LISTEN: listen(clientPorts[2 * index + 1]),
      HOLDFAST_WORKERS: String(workers),
    });
    return Object.assign(node, { wsUrl: `ws://${wsListen(index)}/connect` });
  });
  const members = [control, push, ...projectors, ...access];
  const deployment: Deployment = {
    control,
    push,
    access,
    projectors,
    controlUrl: `http://${listen(controlPort)}`,
    pushUrl: `http://${listen(pushPort)}`,
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
    },
  };
  try {
    await serving(deployment, options.access * workers);
    return deployment;
  } catch (cause) {
    const heard = members.map(lastWords).join("\n");
    await deployment[Symbol.asyncDispose]();
    throw new Error(`the deployment does not start:\n${heard}`, { cause });
  }
}

async function serving({ controlUrl, pushUrl }: Deployment, nodes: number): Promise<void> {
  await Promise.all([ready(controlUrl, READY_WITHIN_MS), ready(pushUrl, READY_WITHIN_MS)]);
  const everyNodeIsKnown = async () => {
    // Until every partition has an owner there is no answer.
    const known = await listNodes(pushUrl).catch(() => []);
    return known.length === nodes;
  };
  await eventually("every access node is known", everyNodeIsKnown, { withinMs: READY_WITHIN_MS });
}

function several<T>(count: number, start: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => start(index)));
}

async function startMember(
  role: string,
  name: string,
  env: Record<string, string>,
): Promise<Member & AsyncDisposable> {
  let process = await startGateway(role, env);
  const earlier: string[] = [];
  return {
    name,
    get process() {
      return process;
    },
    output: () => [...earlier, ...process.output],
    async start() {
      await process.stop("SIGKILL");
      earlier.push(...process.output);
      await process[Symbol.asyncDispose]();
      process = await startGateway(role, env);
    },
    kill: () => process.stop("SIGKILL"),
    freeze: () => process.signal("SIGSTOP"),
    thaw: () => process.signal("SIGCONT"),
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

const QUOTED_LINES = 5;

function lastWords({ name, output }: Member): string {
  return [`${name} said last:`, ...output().slice(-QUOTED_LINES)].join("\n  ");
}
