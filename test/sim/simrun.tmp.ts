import { simulate } from "/work/delivery/test/sim/delivery/run.ts";

const from = Number(process.argv[2]),
  to = Number(process.argv[3]);
let bad = 0;
const t = performance.now();
for (let seed = from; seed < to; seed++) {
  try {
    const { wrong } = await simulate(seed);
    if (wrong.length) {
      bad++;
      if (bad <= 6) console.log(seed, wrong.slice(0, 4));
    }
  } catch (e) {
    bad++;
    if (bad < 4) console.log(seed, e);
  }
}
console.log(
  "bad",
  bad,
  "of",
  to - from,
  ((performance.now() - t) / (to - from)).toFixed(1),
  "ms a seed",
);
