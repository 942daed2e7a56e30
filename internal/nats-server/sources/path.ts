import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { HoldfastError } from "../../status/errors.ts";
import { inspect } from "../version.ts";
import type { Source } from "./source.ts";

/** The first nats-server in a PATH-like list of folders, as a shell would find it. */
export function pathSource(searchPath: string): Source {
  return {
    name: "PATH",
    async find() {
      for (const folder of searchPath.split(delimiter).filter(Boolean)) {
        const candidate = join(folder, "nats-server");
        if (await isExecutable(candidate)) return inspect(candidate);
      }
      throw new HoldfastError("not-found", "no nats-server there");
    },
  };
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
