import fc from "fast-check";
import { expect, test } from "vitest";
import { fold } from "../../internal/projector/fold/fold.ts";
import { type Progress, RouteTable } from "../../internal/projector/fold/route-table.ts";
import type { Record as LogRecord } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import type { Route } from "../../streams/records.ts";
import { DEVICES, logOf, ROOMS } from "./logs.ts";

/** The routes after each record, and what a checkpoint there would keep. */
function foldAll(records: LogRecord[]): { routes: Map<string, Route>; progress: Progress }[] {
  const table = new RouteTable();
  return [undefined, ...records].map((record, sequence) => {
    const effects: Parameters<typeof fold>[3] = [];
    if (record !== undefined) fold(table, sequence, record, effects);
    expect(effects.filter(({ kind }) => kind === "announce")).toEqual([]);
    const routes = [...table.devices.values()].map(({ route }) => [route.device, route] as const);
    return { routes: new Map(routes), progress: structuredClone(table.progress()) };
  });
}

test("a new owner ends with the same routes, from any checkpoint and however far ahead each stored route is", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(4_095), { maxLength: 60 }),
      fc.nat(),
      fc.array(fc.nat(), { minLength: DEVICES.length, maxLength: DEVICES.length }),
      (choices, checkpointChoice, aheadChoices) => {
        const records = logOf(choices);
        const states = foldAll(records);
        const checkpoint = checkpointChoice % states.length;
        const stored = DEVICES.flatMap((device, i) => {
          const ahead = checkpoint + (aheadChoices[i]! % (states.length - checkpoint));
          const route = states[ahead]!.routes.get(device);
          return route === undefined ? [] : [structuredClone(route)];
        });
        const table = RouteTable.restore(states[checkpoint]!.progress, stored);
        for (let i = checkpoint; i < records.length; i++) {
          const effects: Parameters<typeof fold>[3] = [];
          fold(table, i + 1, records[i]!, effects);
          expect(
            effects.filter(({ kind }) => kind === "announce" && i + 1 > table.settledAt),
          ).toEqual([]);
        }
        const routes = [...table.devices.values()].map(
          ({ route }) => [route.device, route] as const,
        );
        expect(new Map(routes)).toEqual(states.at(-1)!.routes);
        for (const room of ROOMS) {
          const members = routes.filter(([, route]) => route.online && route.rooms.includes(room));
          expect(table.rooms.count("demo", room)).toBe(members.length);
        }
      },
    ),
    { numRuns: 1_000 },
  );
});
