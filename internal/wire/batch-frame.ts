/** Several messages in one frame, compressed as the client can read it. */
import {
  type BrotliOptions,
  brotliCompressSync,
  constants,
  deflateSync,
  zstdCompressSync,
} from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { BatchSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { lengthDelimited } from "./message-bytes.ts";
import { SharedFrame } from "./shared-frame.ts";

/** How a client reads batches: compressed in this way, or not at all. */
export type BatchEncoding = "identity" | "zlib" | "br" | "zstd";

/** Below this, what compression saves is less than what it costs. */
export const COMPRESSED_FROM_BYTES = 512;

const brotli = (quality: number): BrotliOptions => ({
  params: {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_LGWIN]: 16,
  },
});
const BROTLI = brotli(5);
/** A tenth smaller, and ten times the work: a millisecond or three for some KiB. */
const BROTLI_THOROUGH = brotli(10);
const THOROUGH_UP_TO_BYTES = 8_192;

type Compression = Exclude<BatchEncoding, "identity">;

function compress(encoding: Compression, data: Uint8Array, thorough: boolean): Uint8Array {
  switch (encoding) {
    case "br":
      return brotliCompressSync(
        data,
        thorough && data.byteLength <= THOROUGH_UP_TO_BYTES ? BROTLI_THOROUGH : BROTLI,
      );
    case "zstd":
      return zstdCompressSync(data);
    case "zlib":
      return deflateSync(data);
  }
}

/** The best of what a client offers; undefined when it offers nothing, and reads no batches. */
export function batchEncodingOf(offered: readonly string[]): BatchEncoding | undefined {
  if (offered.length === 0) return undefined;
  // The smallest first: it is compressed once, and sent to everybody.
  for (const encoding of ["br", "zstd", "zlib"] as const) {
    if (offered.includes(encoding)) return encoding;
  }
  // Of those that it offers none is known here; it reads batches all the same.
  return "identity";
}

/**
 * `thorough`: it goes to so many clients that it may cost more to make.
 *
 * @returns the frame, and whether it is compressed: where that does not pay, it is not.
 */
export function batchFrame(
  messages: readonly Uint8Array[],
  encoding: BatchEncoding,
  thorough = false,
): { frame: SharedFrame; compressed: boolean } {
  const plain = lengthDelimited(messages);
  const packed =
    encoding === "identity" || plain.byteLength < COMPRESSED_FROM_BYTES
      ? plain
      : compress(encoding, plain, thorough);
  const compressed = packed.byteLength < plain.byteLength;
  const value = create(BatchSchema, {
    encoding: compressed ? encoding : "",
    count: messages.length,
    data: compressed ? packed : plain,
  });
  return { frame: SharedFrame.of({ case: "batch", value }), compressed };
}
