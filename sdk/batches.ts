/** How compressed batches are read: by the platform where it can do it at once, else by inflate.ts. */

/** By Batch.encoding. Throws when the data cannot be read. */
export type Decompressors = Readonly<Record<string, (data: Uint8Array) => Uint8Array>>;

/** What of node:zlib is used; some of it is missing in older versions. */
interface Zlib {
  inflateSync?: (data: Uint8Array) => Uint8Array;
  brotliDecompressSync?: (data: Uint8Array) => Uint8Array;
  zstdDecompressSync?: (data: Uint8Array) => Uint8Array;
}

interface NodeGlobal {
  process?: { getBuiltinModule?: (name: string) => Zlib | undefined };
}

/** Without any, batches come as they are. */
export async function platformDecompressors(): Promise<Decompressors> {
  const zlib = (globalThis as NodeGlobal).process?.getBuiltinModule?.("node:zlib");
  if (zlib !== undefined) {
    const { inflateSync, brotliDecompressSync, zstdDecompressSync } = zlib;
    return {
      ...(inflateSync && { zlib: inflateSync }),
      ...(brotliDecompressSync && { br: brotliDecompressSync }),
      ...(zstdDecompressSync && { zstd: zstdDecompressSync }),
    };
  }
  try {
    const { inflate } = await import("./inflate.ts");
    return { zlib: inflate };
  } catch {
    return {};
  }
}

/** For Login.encodings. */
export function encodingsOf(decompressors: Decompressors): string[] {
  return ["identity", ...Object.keys(decompressors)];
}
