/**
 * Cuts the bytes of a TCP connection into frames: the magic `HFD1` once, then again and again a
 * length (uint32, big-endian) and as many bytes. Knows nothing of sockets.
 */
import { ProtocolViolation } from "./violation.ts";

export const MAGIC = Buffer.from("HFD1", "latin1");
export const LENGTH_BYTES = 4;

const EMPTY = Buffer.alloc(0);

type State = "magic" | "length" | "body";

export class FrameReader {
  readonly #maxFrameBytes: number;
  #state: State = "magic";
  /** How many bytes the present state needs. */
  #needed: number = MAGIC.length;
  /** The newest chunk, and how far it has been read. */
  #chunk: Buffer = EMPTY;
  #offset = 0;
  /** The beginning of what the present state needs, when it came in earlier chunks. */
  #held: Buffer = EMPTY;
  #heldBytes = 0;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Call `next` until it gives nothing before the next chunk. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /**
   * The next whole frame, undefined when more bytes are needed. It may be a view of the chunk.
   *
   * @throws ProtocolViolation: `bad-protocol` for another magic, `bad-frame` for a length of zero,
   * `frame-too-large` as soon as the length is known, before memory is taken for it.
   */
  next(): Buffer | undefined {
    for (;;) {
      const bytes = this.#take();
      if (bytes === undefined) return undefined;
      switch (this.#state) {
        case "magic":
          if (!bytes.equals(MAGIC)) {
            throw new ProtocolViolation("bad-protocol", 'the connection must begin with "HFD1"');
          }
          this.#expect("length", LENGTH_BYTES);
          break;
        case "length":
          this.#expect("body", this.#checkedLength(bytes.readUInt32BE(0)));
          break;
        case "body":
          this.#expect("length", LENGTH_BYTES);
          return bytes;
      }
    }
  }

  #expect(state: State, bytes: number): void {
    this.#state = state;
    this.#needed = bytes;
  }

  #checkedLength(length: number): number {
    if (length === 0) {
      throw new ProtocolViolation("bad-frame", "a frame must not have a length of zero");
    }
    if (length > this.#maxFrameBytes) {
      throw new ProtocolViolation(
        "frame-too-large",
        `a frame of ${length} bytes; at most ${this.#maxFrameBytes} are allowed`,
      );
    }
    return length;
  }

  /** As many bytes as the state needs: a view when one chunk has them all, else what was gathered. */
  #take(): Buffer | undefined {
    const available = this.#chunk.length - this.#offset;
    if (this.#heldBytes === 0 && available >= this.#needed) {
      const start = this.#offset;
      this.#offset += this.#needed;
      const bytes = this.#chunk.subarray(start, this.#offset);
      if (this.#offset === this.#chunk.length) this.#releaseChunk();
      return bytes;
    }
    this.#hold(Math.min(this.#needed - this.#heldBytes, available));
    if (this.#heldBytes < this.#needed) {
      this.#releaseChunk();
      return undefined;
    }
    const bytes = this.#held.subarray(0, this.#heldBytes);
    this.#held = EMPTY;
    this.#heldBytes = 0;
    return bytes;
  }

  /**
   * Keeps `count` more bytes. The buffer grows with what has come, never with what was announced,
   * and by doubling, so that a frame sent byte by byte costs no more than twice its length in copies.
   */
  #hold(count: number): void {
    if (count === 0) return;
    const total = this.#heldBytes + count;
    if (total > this.#held.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(this.#needed, Math.max(total, 2 * this.#held.length)),
      );
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    this.#chunk.copy(this.#held, this.#heldBytes, this.#offset, this.#offset + count);
    this.#heldBytes = total;
    this.#offset += count;
  }

  /** An idle connection must not keep the chunk that its last frame came in. */
  #releaseChunk(): void {
    this.#chunk = EMPTY;
    this.#offset = 0;
  }
}
