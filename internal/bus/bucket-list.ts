/** Reading many entries of a bucket, without ever holding more than a page of them. */
import { DeliverPolicy } from "@nats-io/jetstream";
import { HoldfastError } from "../status/errors.ts";
import type { BucketPlace } from "./bucket-entry.ts";
import type { Connection } from "./connect.ts";
import type { Entry } from "./contract.ts";
import { gather } from "./gather.ts";
import { pages, readRefusal } from "./pages.ts";

/** The most subjects, and the most messages, that one batch direct get may ask for. */
const MAX_BATCH = 1_024;
/** What one batch may hold; the server ends it behind the entry that passes this. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

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

/** The newest entry of every key that matches one of the filters, deletions too, oldest revision first. */
export async function* listEntries(
  connection: Connection,
  place: BucketPlace,
  filters: readonly string[],
): AsyncGenerator<Entry> {
  // One round trip where they are few, as for the devices of a user.
  const few: Entry[] = [];
  if ((await batch(connection, place, filters, (entry) => few.push(entry))) === "all") {
    yield* few;
  } else {
    const newest = {
      filter_subjects: filters.map((filter) => place.subject(filter)),
      deliver_policy: DeliverPolicy.LastPerSubject,
    };
    for await (const page of pages(connection, place.stream, newest)) {
      for (const message of page) yield place.ofDelivered(message);
    }
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
      throw readRefusal(place.stream, end?.code, end?.description);
  }
}
