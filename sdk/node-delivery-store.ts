import { readFile, rename, writeFile } from "node:fs/promises";
import { type DeliveryStore, parseSequence } from "./delivery-store.ts";

/**
 * In a file of its own, for applications on Node. The file is replaced as a whole, so a crash leaves
 * the old number or the new one.
 */
export function fileDeliveries(path: string): DeliveryStore {
  return {
    async load() {
      try {
        return parseSequence((await readFile(path, "utf8")).trim());
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
        throw error;
      }
    },
    async save(sequence) {
      const next = `${path}.next`;
      await writeFile(next, `${sequence}\n`);
      await rename(next, path);
    },
  };
}
