import xxhash from "xxhash-wasm";

const { h32 } = await xxhash();

/**
 * The partition of a device, 0 to `partitions` - 1: xxHash32 of app and device. The count is fixed
 * for a deployment, because changing it moves devices between logs.
 */
export function partitionOf(app: string, device: string, partitions: number): number {
  return h32(`${app}\n${device}`) % partitions;
}

/** xxHash32 of a text, for digests and rendezvous hashing. Not for anything that needs secrecy. */
export function hash32(text: string, seed = 0): number {
  return h32(text, seed);
}
