/** Reading the part of a stream that is there now, without ever holding more than a page of it. */
import { setTimeout as delay } from "node:timers/promises";
import { AckPolicy, type ConsumerConfig, jetstreamManager } from "@nats-io/jetstream";
import { type Msg, nanos, nuid } from "@nats-io/transport-node";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";
import { gather } from "./gather.ts";
import { natsError } from "./nats-errors.ts";

const PAGE = 512;
const INACTIVE_MS = 30_000;
const NOT_FOUND = 404;
const NO_RESPONDERS = 503;
/** In a cluster a consumer is made a moment before every server knows where to ask it. */
const NEW_CONSUMER_MS = 2_000;
const ASK_AGAIN_MS = 20;

/**
 * What a consumer with this configuration is given, through one that is asked for a page after
 * another and then deleted. Any copy of the stream may answer, and a copy may lag behind.
 * @throws HoldfastError `unavailable`, `timeout`, `not-found`.
 */
export async function* pages(
  connection: Connection,
  stream: string,
  config: Partial<ConsumerConfig>,
): AsyncGenerator<Msg[]> {
  const name = `hf-list-${nuid.next()}`;
  const jsm = await jetstreamManager(connection.nc, { checkAPI: false });
  try {
    await jsm.consumers.add(stream, {
      ...config,
      name,
      ack_policy: AckPolicy.None,
      inactive_threshold: nanos(INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
  } catch (reason) {
    throw natsError(`cannot list ${stream}`, reason);
  }
  try {
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`;
    const isNewUntil = performance.now() + NEW_CONSUMER_MS;
    for (;;) {
      const page: Msg[] = [];
      const request = { batch: PAGE, no_wait: true };
      const end = await gather(connection, { subject, request, most: PAGE }, (message) =>
        page.push(message),
      );
      if (end?.code === NO_RESPONDERS && page.length === 0 && performance.now() < isNewUntil) {
        await delay(ASK_AGAIN_MS);
        continue;
      }
      yield page;
      if (end?.code === NOT_FOUND) return;
      if (end !== undefined) throw readRefusal(stream, end.code, end.description);
    }
  } finally {
    // If this fails the server forgets it by itself.
    await jsm.consumers.delete(stream, name).catch(() => {});
  }
}

/** What a status that ends a reading means, if it is none of the expected ones. */
export function readRefusal(stream: string, code: number | undefined, text = ""): HoldfastError {
  const away = code === NO_RESPONDERS;
  return new HoldfastError(
    away ? "unavailable" : "internal",
    `cannot read ${stream}: ${away ? "nobody answers" : `${code} ${text}`}`,
  );
}
