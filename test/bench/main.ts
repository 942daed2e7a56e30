/** `npm run bench -- <name> [arguments]`: one bench of this folder; without a name, which there are. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const names = readdirSync("test/bench")
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -".ts".length));
const [name = "", ...args] = process.argv.slice(2);
if (names.includes(name)) {
  const file = `test/bench/${name}.ts`;
  process.exitCode = spawnSync(process.execPath, [file, ...args], { stdio: "inherit" }).status ?? 1;
} else {
  console.error(`npm run bench -- <name>, one of: ${names.join(", ")}`);
  process.exitCode = 1;
}
