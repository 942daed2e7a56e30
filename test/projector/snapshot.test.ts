import fc from "fast-check";
import { expect, test } from "vitest";
import { type Effect, fold } from "../../internal/projector/fold/fold.ts";
import { RouteTable } from "../../internal/projector/fold/route-table.ts";
import { cutOf, encode, Restoring } from "../../internal/projector/snapshot/cut.ts";
import { type Checkpoint, decodeJson } from "../../streams/records.ts";
import { logOf } from "./logs.ts";
import { Ground } from "./owner-support.ts";

const OFTEN = { records: 4, everyMs: 60_000 };
const NEVER = { records: 1_000_000, everyMs: 1e9 };

function restored(table: RouteTable): RouteTable {
  const chunks: Uint8Array[] = [];
  for (const _ of encode(cutOf(table), (data) => chunks.push(data)));
  const restoring = new Restoring();
  for (const chunk of chunks) for (const _ of restoring.decode(chunk));
  expect(restoring.isWhole(table.position)).toBe(true);
  return restoring.table;
}

/** All that a table knows, as plain values. */
function contents(table: RouteTable): unknown {
  return {
    routes: new Map(
      Array.from(table.devices, ([key, { route, hash }]) => [
        key,
        route.online ? { route, hash } : { route },
      ]),
    ),
    nodes: new Map(
      Array.from(table.nodes, ([id, { state, sum, held, apps }]) => [
        id,
        { state, count: sum.count, hash: sum.hash, held: new Set(held.keys()), apps },
      ]),
    ),
    dead: table.dead,
    position: table.position,
  };
}

test("a log that is cut anywhere and folded on from a snapshot gives the same, and the same effects", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(4_095), { maxLength: 80 }), fc.nat(), (choices, at) => {
      const records = logOf(choices);
      const cut = records.length === 0 ? 0 : at % records.length;
      const whole = new RouteTable();
      let other = whole;
      for (const [i, record] of records.entries()) {
        if (i === cut) other = restored(whole);
        const effects: Effect[] = [];
        fold(whole, i + 1, record, effects);
        if (i < cut) continue;
        const again: Effect[] = [];
        fold(other, i + 1, record, again);
        // In any order: all of them are of one record.
        const plain = (list: Effect[]) =>
          new Set(list.map((effect) => JSON.stringify({ ...effect, device: undefined })));
        expect(plain(again)).toEqual(plain(effects));
      }
      expect(contents(other)).toEqual(contents(whole));
    }),
    { numRuns: 500 },
  );
});

test("what is folded while a snapshot is written is not in it", () => {
  const records = logOf([0, 8, 32, 40, 64, 3, 35, 67]);
  const table = new RouteTable();
  const half = records.length >> 1;
  for (const [i, record] of records.slice(0, half).entries()) fold(table, i + 1, record, []);
  const before = contents(restored(table));
  const cut = cutOf(table);
  for (const [i, record] of records.slice(half).entries()) fold(table, half + i + 1, record, []);
  const restoring = new Restoring();
  const chunks: Uint8Array[] = [];
  for (const _ of encode(cut, (data) => chunks.push(data)));
  for (const chunk of chunks) for (const _ of restoring.decode(chunk));
  expect(contents(restoring.table)).toEqual(before);
});

/** Ten devices at one node, of which some leave. */
async function lived(ground: Ground): Promise<void> {
  for (let i = 1; i <= 10; i++) {
    ground.log.connected({ id: `a.${i}`, device: `d${i}`, user: "u", rooms: ["lobby"] });
    await ground.pass(1_000);
  }
  ground.log.disconnected("a.3", "d3");
  await ground.pass(3_000);
}

function checkpointOf({ buckets }: Ground): Checkpoint {
  return decodeJson<Checkpoint>(buckets.checkpoint.entries.get("0")?.value ?? new Uint8Array());
}

test("a new owner reads the snapshot and the log behind it, and not the routes", async () => {
  const ground = new Ground();
  const first = await ground.started("p1", { snapshotLimits: OFTEN });
  await lived(ground);
  const { snapshot } = checkpointOf(ground);
  expect(snapshot?.sequence).toBeGreaterThan(3);
  expect(ground.buckets.snapshot.entries.size).toBeGreaterThan(0);
  const before = contents(first.table);
  first.abandon();

  ground.buckets.route.list = () => {
    throw new Error("the routes are listed");
  };
  const second = await ground.started("p2", { snapshotLimits: NEVER });
  expect([second.live, ground.failures]).toEqual([true, []]);
  expect(contents(second.table)).toEqual(before);
});

test("only the newest snapshot is kept", async () => {
  const ground = new Ground();
  await ground.started("p1", { snapshotLimits: OFTEN });
  await lived(ground);
  const { snapshot } = checkpointOf(ground);
  const kept = [...ground.buckets.snapshot.entries.values()].filter(({ value }) => value);
  expect(kept.map(({ key }) => key)).toEqual([`0.${snapshot?.generation}.0`]);
});

test("what the checkpoint has behind it is not told again, and what it has not is, under the same ids", async () => {
  const ground = new Ground();
  const first = await ground.started("p1", { snapshotLimits: OFTEN });
  await lived(ground);
  // Told and written, but the checkpoint does not know.
  ground.buckets.checkpoint.put = (_key, _value, _expected, done) => done({ kind: "unknown" });
  ground.log.connected({ id: "b.1", device: "late", user: "u" });
  await ground.pass(0);
  first.abandon();
  Reflect.deleteProperty(ground.buckets.checkpoint, "put");
  const told = ground.told.map(({ id }) => id);
  expect(told.at(-1)).toContain(".online.b.1/");

  await ground.started("p2", { snapshotLimits: NEVER });
  const again = ground.told.map(({ id }) => id).slice(told.length);
  expect(again).toEqual(told.filter((id) => id.includes("b.1/")));
});

test.each(["gone", "broken"])("a snapshot that is %s is done without", async (how) => {
  const ground = new Ground();
  const first = await ground.started("p1", { snapshotLimits: OFTEN });
  await lived(ground);
  const online = [...first.table.devices.values()].filter(({ route }) => route.online);
  const routes = online.map(({ route }) => route);
  first.abandon();
  const { entries } = ground.buckets.snapshot;
  for (const [key, entry] of entries) {
    if (how === "gone") entries.delete(key);
    else entries.set(key, { ...entry, value: Buffer.from("not a snapshot") });
  }
  const second = await ground.started("p2");
  expect([second.live, ground.failures]).toEqual([true, []]);
  // Whoever left long ago, by the clock of its node, is left to the bucket.
  expect([...second.table.devices.values()].map(({ route }) => route)).toEqual(routes);
});

test("what the route bucket has lost is put back by an owner that did not read it", async () => {
  const ground = new Ground();
  const first = await ground.started("p1", { snapshotLimits: OFTEN });
  await lived(ground);
  first.abandon();
  ground.buckets.route.entries.clear();
  ground.buckets.user.entries.clear();
  await ground.started("p2");
  await ground.pass(3_000);
  expect(ground.stored("d1")).toMatchObject({ online: true, connection: "a.1" });
  expect([...ground.buckets.route.entries.keys()]).toHaveLength(9);
  expect([...ground.buckets.user.entries.keys()]).toContain("demo.u.d1");
});
