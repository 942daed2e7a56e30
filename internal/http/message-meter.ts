/** Before each message of a stream, in gRPC, gRPC-Web and Connect alike: flags, and a length of 4 bytes. */
const HEAD_BYTES = 5;

/** Follows where the messages of a stream begin and end. */
export class MessageMeter {
  #head = 0;
  #length = 0;
  /** What the message still lacks. */
  #lacks = 0;

  /** Whether a message has begun and is not complete. */
  get within(): boolean {
    return this.#head > 0;
  }

  /** @returns whether a message was completed. */
  take(chunk: Uint8Array): boolean {
    let completed = false;
    for (let at = 0; at < chunk.length; ) {
      if (this.#head < HEAD_BYTES) {
        // The flags are shifted out again by the four bytes after them.
        this.#length = ((this.#length << 8) | (chunk[at] ?? 0)) >>> 0;
        this.#head += 1;
        this.#lacks = this.#length;
        at += 1;
      } else {
        const taken = Math.min(this.#lacks, chunk.length - at);
        this.#lacks -= taken;
        at += taken;
      }
      if (this.#head === HEAD_BYTES && this.#lacks === 0) {
        completed = true;
        this.#head = 0;
        this.#length = 0;
      }
    }
    return completed;
  }
}
