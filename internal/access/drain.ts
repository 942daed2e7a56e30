import { create } from "@bufbuild/protobuf";
import { DrainSchema, ReconnectSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { SharedFrame } from "../wire/shared-frame.ts";
import type { SessionServices } from "./services.ts";

/**
 * Asks every client to leave, each within a time of its own, so that they arrive elsewhere spread
 * over `overMs`. Who has not left by then is closed.
 */
export function drainSessions({ table, wheel, random }: SessionServices, overMs: number): void {
  for (const session of table) {
    if (!session.advance("drain")) continue;
    const withinMs = Math.ceil(random() * overMs);
    session.drainedAtMs = wheel.now + withinMs;
    session.reschedule();
    const value = create(DrainSchema, { withinMs, reconnect: create(ReconnectSchema) });
    session.send(SharedFrame.of({ case: "drain", value }));
  }
}

/** Those that have not left yet may stay. */
export function undrainSessions({ table }: SessionServices): void {
  for (const session of table) {
    if (session.advance("undrain")) session.drainedAtMs = undefined;
  }
}
