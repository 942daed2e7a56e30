/** Reading many entries of a bucket, without ever holding more than a page of them. */
import { AckPolicy, DeliverPolicy, jetstreamManager } from "@nats-io/jetstream";
import { nanos, nuid } from "@nats-io/transport-node";
import { HoldfastError } from "../status/errors.ts";
import type { BucketPlace } from "./bucket-entry.ts";
import type { Connection } from "./connect.ts";
import type { Entry } from "./contract.ts";
import { gather } from "./gather.ts";
import { natsError } from "./nats-errors.ts";

/** The most subjects, and the most messages, that one batch direct get may ask for. */
const MAX_BATCH = 1_024;
/** What one batch may hold; the server ends it behind the entry that passes this. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
const PAGE = 512;
const INACTIVE_MS = 30_000;

const END_OF_BATCH = 204;
const NOT_FOUND = 404;
const TOO_MANY = 413;

/**
 * The newest entries of these keys, those that have one. Several requests are under way at once,
 * each answered by any copy of the stream.
 */
export async function newestOf(
  connection: Connection,
  place: BucketPlace,
  keys: readonly string[],
): Promise<Map<string, Entry>> {
  const found = new Map<string, Entry>();
  const chunks: string[][] = [];
  for (let i = 0; i < keys.length; i += MAX_BATCH) chunks.push(keys.slice(i, i + MAX_BATCH));
  await Promise.all(chunks.map((chunk) => newestOfChunk(connection, place, chunk, found)));
  return found;
}

async function newestOfChunk(
  connection: Connection,
  place: BucketPlace,
  keys: readonly string[],
  found: Map<string, Entry>,
): Promise<void> {
  // Until nothing is left behind the end of a batch.
  let missing = keys;
  while (missing.length > 0) {
    const end = await batch(connection, place, missing, (entry) => found.set(entry.key, entry));
    if (end !== "more") return;
    const left = missing.filter((key) => !found.has(key));
    if (left.length === missing.length) {
      throw new HoldfastError("internal", `${place.stream} gave an empty batch though it has more`);
    }
    missing = left;
  }
}

/** The newest entry of every key that matches, deletions too, oldest revision first. */
export async function* listEntries(
  connection: Connection,
  place: BucketPlace,
  filter: string,
): AsyncGenerator<Entry> {
  // One round trip where they are few, as for the devices of a user.
  const few: Entry[] = [];
  if ((await batch(connection, place, [filter], (entry) => few.push(entry))) === "all") {
    yield* few;
  } else {
    yield* pages(connection, place, filter);
  }
}

/** A batch direct get: "all", or "more" when the server gave a part or nothing because they are many. */
async function batch(
  connection: Connection,
  place: BucketPlace,
  keys: readonly string[],
  each: (entry: Entry) => void,
): Promise<"all" | "more"> {
  const subject = `$JS.API.DIRECT.GET.${place.stream}`;
  const multi_last = keys.map((key) => place.subject(key));
  const request = { multi_last, max_bytes: MAX_BATCH_BYTES };
  const most = Number.POSITIVE_INFINITY;
  const end = await gather(connection, { subject, request, most }, (message) =>
    each(place.ofDirect(message)),
  );
  switch (end?.code) {
    case NOT_FOUND:
      return "all";
    case END_OF_BATCH:
      return Number(end.get("Nats-Num-Pending")) > 0 ? "more" : "all";
    case TOO_MANY:
      return "more";
    default:
      throw refusal(place, end?.code, end?.description);
  }
}

/** Through a consumer that is asked for one page after another. */
async function* pages(
  connection: Connection,
  place: BucketPlace,
  filter: string,
): AsyncGenerator<Entry> {
  const { stream } = place;
  const name = `hf-list-${nuid.next()}`;
  const jsm = await jetstreamManager(connection.nc, { checkAPI: false });
  try {
    await jsm.consumers.add(stream, {
      name,
      filter_subject: place.subject(filter),
      deliver_policy: DeliverPolicy.LastPerSubject,
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
    for (;;) {
      const page: Entry[] = [];
      const request = { batch: PAGE, no_wait: true };
      const end = await gather(connection, { subject, request, most: PAGE }, (message) =>
        page.push(place.ofDelivered(message)),
      );
      yield* page;
      if (end?.code === NOT_FOUND) return;
      if (end !== undefined) throw refusal(place, end.code, end.description);
    }
  } finally {
    // If this fails the server forgets it by itself.
    await jsm.consumers.delete(stream, name).catch(() => {});
  }
}

function refusal(place: BucketPlace, code: number | undefined, text = ""): HoldfastError {
  const away = code === 503;
  return new HoldfastError(
    away ? "unavailable" : "internal",
    `cannot read ${place.stream}: ${away ? "nobody answers" : `${code} ${text}`}`,
  );
}
