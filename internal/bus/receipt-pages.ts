/**
 * Receipts are stored many to a message: a page. An index message names the page's place and, in four
 * bytes each, the messages whose receipts are on it, so that those of one are found without reading the
 * others. A stream message and a subject for each receipt would cost the server ten times as much.
 */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { hash32 } from "../../streams/partition.ts";
import { decodeJson, encodeJson, type Receipt } from "../../streams/records.ts";

/** Receipts are spread over so many subjects, so that whoever looks for one reads a part of the index. */
export const SHARDS = 16;

const PLACE_BYTES = 8;
const HASH_BYTES = 4;

export function hashOf(app: string, messageId: string): number {
  return hash32(`${app}\n${messageId}`) >>> 0;
}

export function shardOf(hash: number): number {
  return hash % SHARDS;
}

export function encodePage(receipts: readonly Receipt[]): Uint8Array {
  return zstdCompressSync(encodeJson(receipts));
}

export function decodePage(page: Uint8Array): Receipt[] {
  return decodeJson<Receipt[]>(zstdDecompressSync(page));
}

/** `hashes` may repeat: a message to many devices has as many receipts. */
export function encodeIndex(place: number, hashes: Iterable<number>): Uint8Array {
  const unique = [...new Set(hashes)];
  const index = Buffer.allocUnsafe(PLACE_BYTES + unique.length * HASH_BYTES);
  index.writeDoubleBE(place);
  for (const [i, hash] of unique.entries()) index.writeUInt32BE(hash, PLACE_BYTES + i * HASH_BYTES);
  return index;
}

/** The place of the page, if receipts of this message may be on it. */
export function findInIndex(index: Uint8Array, hash: number): number | undefined {
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  for (let at = PLACE_BYTES; at < view.byteLength; at += HASH_BYTES) {
    if (view.getUint32(at) === hash) return view.getFloat64(0);
  }
  return undefined;
}
