/**
 * What an access node and the fold compare to find out whether they agree on the node's
 * connections: their count and the sum of a hash of each. A sum does not depend on order and takes
 * additions and removals one by one. Hashes have 52 bits, so that sums are exact in a number.
 */
import { hash32 } from "./partition.ts";

const HIGH_BITS = 0xf_ffff;
const HIGH_UNIT = 2 ** 32;
const MODULUS = 2 ** 52;

/** What of a connection is compared. Ids hold no line breaks, so joining by them is injective. */
export function connectionHash(
  counter: number,
  app: string,
  device: string,
  rooms: readonly string[],
): number {
  const ordered = rooms.length > 1 ? rooms.toSorted() : rooms;
  const text = `${counter}\n${app}\n${device}\n${ordered.join("\n")}`;
  return (hash32(text, 1) & HIGH_BITS) * HIGH_UNIT + hash32(text);
}

/** The count and hash of a set of connections. */
export class DigestSum {
  #count = 0;
  #hash = 0;

  get count(): number {
    return this.#count;
  }

  get hash(): number {
    return this.#hash;
  }

  add(hash: number): void {
    this.#count += 1;
    this.#hash = (this.#hash + hash) % MODULUS;
  }

  remove(hash: number): void {
    this.#count -= 1;
    this.#hash = (this.#hash - hash + MODULUS) % MODULUS;
  }

  equals(count: number, hash: number): boolean {
    return this.#count === count && this.#hash === hash;
  }
}
