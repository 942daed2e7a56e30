import type { NatsBinary } from "../version.ts";

/** One place that a nats-server can come from. */
export interface Source {
  /** What messages call it. */
  readonly name: string;
  /** A usable binary; throws the reason when this place has none. */
  find(): Promise<NatsBinary>;
}
