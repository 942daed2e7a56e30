import type { TestNatsSpec } from "./nats.ts";

/** A server's whole configuration, from the usual one. */
export function configFor(
  { syncInterval, config }: TestNatsSpec,
  usual: Record<string, unknown>,
): Record<string, unknown> {
  if (syncInterval === undefined) return { ...usual, ...config };
  const jetstream = { ...(usual.jetstream as object), sync_interval: syncInterval };
  return { ...usual, jetstream, ...config };
}
