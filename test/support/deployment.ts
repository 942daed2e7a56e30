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

/** Resolves when control and push are ready and control knows every access node. */
export async function startDeployment(options: DeploymentOptions): Promise<Deployment> {
  await using started = new AsyncDisposableStack();
  const ports = await freePorts(2 + 2 * options.access);
  const nextListen = () => `127.0.0.1:${ports.pop()}`;
  const member = async (role: string, name: string, env: Record<string, string> = {}) =>
    started.use(
      await startMember(role, name, {
        HOLDFAST_NATS_URL: options.natsUrls.join(","),
        HOLDFAST_NODE_NAME: name,
        ...options.env,
        ...env,
      }),
    );
  const several = <T>(count: number, start: (number: number) => Promise<T>) =>
    Promise.all(Array.from({ length: count }, (_, index) => start(index + 1)));

  const controlListen = nextListen();
  const pushListen = nextListen();
  const [control, push, projectors, access] = await Promise.all([
    member("control", "control", { HOLDFAST_CONTROL_LISTEN: controlListen }),
    member("push", "push", { HOLDFAST_PUSH_LISTEN: pushListen }),
    several(options.projectors, (number) => member("projector", `projector${number}`)),
    several(options.access, async (number): Promise<AccessMember> => {
      const wsListen = nextListen();
      const env = { HOLDFAST_WS_LISTEN: wsListen, HOLDFAST_TCP_LISTEN: nextListen() };
      const started = await member("access", `access${number}`, env);
      return Object.assign(started, { wsUrl: `ws://${wsListen}/connect` });
    }),
  ]);
  const controlUrl = `http://${controlListen}`;
  const pushUrl = `http://${pushListen}`;
  try {
    await Promise.all([ready(controlUrl, READY_WITHIN_MS), ready(pushUrl, READY_WITHIN_MS)]);
    await eventually("every access node is known", async () => {
      return (await listNodes(pushUrl)).length === options.access;
    });
  } catch (cause) {
    const members = [control, push, ...projectors, ...access];
    throw new Error(`the deployment does not start:\n${members.map(lastWords).join("\n")}`, {
      cause,
    });
  }

  const running = started.move();
  return {
    control,
    push,
    access,
    projectors,
    controlUrl,
    pushUrl,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
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
