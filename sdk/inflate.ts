/**
 * A synchronous inflate (RFC 1950 and 1951), for browsers: what they have themselves is asynchronous, and
 * messages must stay in order. Loaded only where the platform has none.
 */

const MOST_BITS = 15;
const END_OF_BLOCK = 256;
const LENGTH_BASE = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
  163, 195, 227, 258,
];
const LENGTH_EXTRA = [
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
  3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const DISTANCE_EXTRA = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A canonical Huffman code: how many codes of each length, and their symbols in order. */
interface Code {
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

/** Throws a RangeError for what is not zlib data. */
export function inflate(data: Uint8Array): Uint8Array {
  const bits = new Bits(data, 2);
  const output = new Output(data.length * 4);
  if ((at(data, 0) & 0x0f) !== 8) throw new RangeError("not zlib data");
  for (let last = false; !last; ) {
    last = bits.take(1) === 1;
    const type = bits.take(2);
    if (type === 0) stored(bits, output);
    else if (type === 1) compressed(bits, output, FIXED_LITERALS, FIXED_DISTANCES);
    else if (type === 2) dynamic(bits, output);
    else throw new RangeError("an unknown block");
  }
  return output.finish();
}

class Bits {
  readonly #data: Uint8Array;
  #position: number;
  #held = 0;
  #count = 0;

  constructor(data: Uint8Array, position: number) {
    this.#data = data;
    this.#position = position;
  }

  take(count: number): number {
    while (this.#count < count) {
      this.#held |= at(this.#data, this.#position) << this.#count;
      this.#position += 1;
      this.#count += 8;
    }
    const value = this.#held & ((1 << count) - 1);
    this.#held >>>= count;
    this.#count -= count;
    return value;
  }

  symbol({ counts, symbols }: Code): number {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= MOST_BITS; length += 1) {
      code |= this.take(1);
      const count = at(counts, length);
      if (code - count < first) return at(symbols, index + (code - first));
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new RangeError("an unknown code");
  }

  /** Whole bytes, from the next boundary on. */
  bytes(count: number): Uint8Array {
    this.#held = 0;
    this.#count = 0;
    const end = this.#position + count;
    if (end > this.#data.length) throw new RangeError("cut off");
    const bytes = this.#data.subarray(this.#position, end);
    this.#position = end;
    return bytes;
  }
}

class Output {
  #bytes: Uint8Array;
  #length = 0;

  constructor(guess: number) {
    this.#bytes = new Uint8Array(Math.max(guess, 256));
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  push(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** Byte by byte: what is copied may overlap what it is copied to. */
  repeat(distance: number, count: number): void {
    if (distance > this.#length) throw new RangeError("a distance beyond the beginning");
    this.#reserve(count);
    for (let left = count; left > 0; left -= 1) {
      this.#bytes[this.#length] = at(this.#bytes, this.#length - distance);
      this.#length += 1;
    }
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

function stored(bits: Bits, output: Output): void {
  const [a = 0, b = 0] = bits.bytes(4);
  output.append(bits.bytes(a | (b << 8)));
}

function compressed(bits: Bits, output: Output, literals: Code, distances: Code): void {
  for (;;) {
    const symbol = bits.symbol(literals);
    if (symbol < END_OF_BLOCK) {
      output.push(symbol);
      continue;
    }
    if (symbol === END_OF_BLOCK) return;
    const kind = symbol - END_OF_BLOCK - 1;
    const length = at(LENGTH_BASE, kind) + bits.take(at(LENGTH_EXTRA, kind));
    const distance = bits.symbol(distances);
    output.repeat(at(DISTANCE_BASE, distance) + bits.take(at(DISTANCE_EXTRA, distance)), length);
  }
}

function dynamic(bits: Bits, output: Output): void {
  const literals = bits.take(5) + 257;
  const distances = bits.take(5) + 1;
  const codeLengths = new Uint8Array(CODE_LENGTH_ORDER.length);
  const count = bits.take(4) + 4;
  for (let i = 0; i < count; i += 1) codeLengths[at(CODE_LENGTH_ORDER, i)] = bits.take(3);
  const code = codeOf(codeLengths);
  const lengths = new Uint8Array(literals + distances);
  for (let i = 0; i < lengths.length; ) {
    const symbol = bits.symbol(code);
    if (symbol < 16) {
      lengths[i] = symbol;
      i += 1;
      continue;
    }
    const repeated = symbol === 16 ? at(lengths, i - 1) : 0;
    const times =
      symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    if (i + times > lengths.length) throw new RangeError("too many lengths");
    lengths.fill(repeated, i, i + times);
    i += times;
  }
  const split = [lengths.subarray(0, literals), lengths.subarray(literals)] as const;
  compressed(bits, output, codeOf(split[0]), codeOf(split[1]));
}

function codeOf(lengths: Uint8Array): Code {
  const counts = new Uint16Array(MOST_BITS + 1);
  for (const length of lengths) counts[length] = at(counts, length) + 1;
  counts[0] = 0;
  const offsets = new Uint16Array(MOST_BITS + 2);
  for (let i = 1; i <= MOST_BITS; i += 1) offsets[i + 1] = at(offsets, i) + at(counts, i);
  const symbols = new Uint16Array(lengths.length);
  for (const [symbol, length] of lengths.entries()) {
    if (length === 0) continue;
    symbols[at(offsets, length)] = symbol;
    offsets[length] = at(offsets, length) + 1;
  }
  return { counts, symbols };
}

const FIXED_LITERALS = codeOf(
  Uint8Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)),
);
const FIXED_DISTANCES = codeOf(new Uint8Array(30).fill(5));

function at(list: ArrayLike<number>, index: number): number {
  const value = list[index];
  if (value === undefined) throw new RangeError("cut off");
  return value;
}
