/** How many messages JetStream has stored, by stream: all of ours, buckets as well. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Connection } from "../../../internal/bus/connect.ts";
import { connectToNats } from "../../support/nats-connection.ts";
import { keep, note } from "./report.ts";

const OURS = /^(HF_|KV_hf_)/;

export class MessageCounts implements AsyncDisposable {
  readonly #connection: Connection;
  #before: ReadonlyMap<string, number>;

  /** Counts from now on. */
  static async open(natsUrl: string): Promise<MessageCounts> {
    const connection = await connectToNats(natsUrl);
    return new MessageCounts(connection, await sequences(connection));
  }

  private constructor(connection: Connection, before: ReadonlyMap<string, number>) {
    this.#connection = connection;
    this.#before = before;
  }

  get serverVersion(): string {
    return this.#connection.nc.info?.version ?? "";
  }

  /** Reports what was stored since the last call, over all streams and for each of `count`. */
  async report(what: string, count: number): Promise<void> {
    const now = await sequences(this.#connection);
    const stored = [...now]
      .map(([name, sequence]): [string, number] => [name, sequence - (this.#before.get(name) ?? 0)])
      .filter(([, messages]) => messages > 0)
      .toSorted(([, a], [, b]) => b - a);
    this.#before = now;
    const all = stored.reduce((sum, [, messages]) => sum + messages, 0);
    const parts = stored.map(([name, messages]) => `${name} ${(messages / count).toFixed(2)}`);
    note(
      `JetStream messages for each of ${what}`,
      `${(all / count).toFixed(2)} (${parts.join(", ")})`,
    );
    keep("storedMessages", Object.fromEntries(stored));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}

async function sequences({ nc }: Connection): Promise<Map<string, number>> {
  const manager = await jetstreamManager(nc);
  const found = new Map<string, number>();
  for await (const { config, state } of manager.streams.list()) {
    if (OURS.test(config.name)) found.set(config.name, state.last_seq);
  }
  return found;
}
