/** A business server that follows who is online, on a plain NATS client. */
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { StateEvent } from "../../streams/records.ts";
import type { History } from "./history.ts";

export interface SubscriberOptions {
  natsUrls: readonly string[];
  history: History;
  /** To see the checker find it: the subscriber is not told of devices whose node has died. */
  missesNodeDown?: boolean;
}

const STREAM = "HF_STATE";
const BATCH = 500;
const ASK_EVERY_MS = 100;
/** A batch whose server has died in the middle of it would never end by itself. */
const SILENCE_MS = 3_000;

/** Follows from the first event that the stream holds until it is disposed. */
export async function subscribeToState(options: SubscriberOptions): Promise<AsyncDisposable> {
  const connection = await connect({
    servers: [...options.natsUrls],
    maxReconnectAttempts: -1,
    pingInterval: 5_000,
  });
  const following = follow(connection, (event) => write(event, options));
  return {
    async [Symbol.asyncDispose]() {
      await connection.close();
      await following;
    },
  };
}

/**
 * Asks for what comes next, again and again: of all ways to read a stream the one that is not held
 * up when servers die, for a consumer dies with its server and is missed only after half a minute.
 */
async function follow(connection: NatsConnection, see: (event: StateEvent) => void): Promise<void> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  for (let next = 1; !connection.isClosed(); ) {
    try {
      const query = { seq: next, batch: BATCH, next_by_subj: "hf.state.demo.conn.>" };
      const batch = await manager.direct.getBatch(STREAM, query);
      using silence = lapse(SILENCE_MS, () => batch.stop());
      for await (const message of batch) {
        silence.refresh();
        next = message.seq + 1;
        see(message.json<StateEvent>());
      }
    } catch {
      // Nobody answers, or there is nothing new.
    }
    await sleep(ASK_EVERY_MS);
  }
}

function lapse(afterMs: number, act: () => void): Disposable & { refresh(): void } {
  const timer = setTimeout(act, afterMs);
  return { refresh: () => void timer.refresh(), [Symbol.dispose]: () => clearTimeout(timer) };
}

function write(
  { event, device, connection, reason }: StateEvent,
  { history, missesNodeDown = false }: SubscriberOptions,
): void {
  if (missesNodeDown && reason === "node-down") return;
  if (event !== "online" && event !== "offline") return;
  history.append({ did: `saw-${event}`, device, connection });
}
