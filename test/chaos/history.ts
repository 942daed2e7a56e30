/**
 * What senders did and clients saw, each written down by the process that did or saw it, in files of
 * JSON lines that only grow. The checkers read nothing else.
 */
import { createWriteStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Written by the sender of must-arrive messages. */
export type SenderEntry =
  /** The API said that it has the message: it must arrive. Entries of one device stand in the order of sending. */
  | { did: "accepted"; device: string; message: string }
  /** The API said that the message's time is over. */
  | { did: "expired"; device: string; message: string };

/** Written by a client process for each of its devices. */
export type ClientEntry =
  /** Logged in. */
  | { did: "online"; device: string; connection: string }
  /** The connection is over, as far as the client knows. */
  | { did: "offline"; device: string; connection: string }
  /** Given to the application. `meantFor`: the devices that the sender named, with commas between. */
  | { did: "received"; device: string; message: string; meantFor: string; sequence: number };

/** Written by a subscriber of the connection-state subjects. */
export type SubscriberEntry = {
  did: "saw-online" | "saw-offline";
  device: string;
  connection: string;
};

/** `at`: when it was written down, in Unix milliseconds, by whichever clock. */
export type Entry = (SenderEntry | ClientEntry | SubscriberEntry) & { at?: number };

export interface History extends AsyncDisposable {
  append(entry: Entry): void;
  /** Resolves when everything appended so far can be read. */
  flushed(): Promise<void>;
}

/** Opens `<folder>/<writer>.jsonl` for one writer. */
export function openHistory(folder: string, writer: string): History {
  const file = createWriteStream(join(folder, `${writer}.jsonl`), { flags: "a" });
  const flushed = () =>
    new Promise<void>((done, fail) => file.write("", (error) => (error ? fail(error) : done())));
  return {
    append: (entry) => void file.write(`${JSON.stringify({ at: Date.now(), ...entry })}\n`),
    flushed,
    [Symbol.asyncDispose]: () => new Promise((done) => file.end(() => done())),
  };
}

/** The entries of all writers, those of one writer in its order. */
export async function readHistories(folder: string): Promise<Entry[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".jsonl"));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return texts.flatMap(wholeLines).map((line) => JSON.parse(line) as Entry);
}

/** A writer may be in the middle of its last line. */
function wholeLines(text: string): string[] {
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .slice(0, -1);
}
