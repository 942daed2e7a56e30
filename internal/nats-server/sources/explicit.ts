import { inspect } from "../version.ts";
import type { Source } from "./source.ts";

/** The path that the operator named. */
export function explicitSource(path: string): Source {
  return { name: "HOLDFAST_NATS_SERVER", find: () => inspect(path) };
}
