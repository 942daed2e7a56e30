/** `npm run bench -- <name> [arguments]`: one bench of this folder; without a name, which there are. */
import { readdirSync } from "node:fs";

const names = readdirSync("test/bench")
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -".ts".length));
const [name = ""] = process.argv.slice(2);
if (names.includes(name)) {
  // In this process, so that whoever ends it ends the bench, and with it all that it has started.
  const file = `${import.meta.dirname}/${name}.ts`;
  process.argv.splice(1, 2, file);
  await import(file);
} else {
  console.error(`npm run bench -- <name>, one of: ${names.join(", ")}`);
  process.exitCode = 1;
}
