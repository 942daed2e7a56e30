import { test } from "vitest";
import { simulate } from "./run.ts";
test("x", { timeout: 600000 }, async () => {
  let bad = 0, a = 0, r = 0;
  const from = Number(process.env.FROM ?? 1), n = Number(process.env.N ?? 100);
  for (let s = from; s < from + n; s++) {
    const { wrong, history, cluster } = await simulate(s);
    a += cluster.asker.answered; r += cluster.asker.refused;
    if (wrong.length) { bad++; console.log("SEED", s, wrong.join("\n  ")); if (process.env.H) console.log(history.join("\n")); if (bad > 10) break; }
  }
  console.log("bad", bad, "answered", a, "refused", r);
});
