/** Everything that must hold before code is shared, short of the tests: `npm run check`. */

import { checkGeneratedCode } from "./generated-code.ts";
import { runTool, type ToolResult } from "./tool.ts";

const CHECKS: Record<string, () => Promise<ToolResult>> = {
  types: () => runTool("tsc", "--noEmit"),
  "types of the SDK": () => runTool("tsc", "--noEmit", "-p", "sdk"),
  "types of the page": () => runTool("tsc", "--noEmit", "-p", "console"),
  // Lint has the import rules too: biome.imports.jsonc.
  "lint and format": () => runTool("biome", "ci", "--error-on-warnings", "--colors=off", "."),
  "contracts lint": () => runTool("buf", "lint"),
  "contracts format": () => runTool("buf", "format", "--diff", "--exit-code"),
  "generated code": checkGeneratedCode,
};

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

async function run(name: string, check: () => Promise<ToolResult>) {
  const startedAt = performance.now();
  const result = await check();
  const took = seconds(performance.now() - startedAt);
  console.log(`${result.failed ? "FAIL" : "ok  "}  ${name.padEnd(24)} ${took}`);
  return { name, ...result };
}

const results = await Promise.all(Object.entries(CHECKS).map(([name, check]) => run(name, check)));
const failures = results.filter((result) => result.failed);
for (const { name, output } of failures) console.log(`\n--- ${name}\n${output.trimEnd()}`);
console.log(
  failures.length === 0
    ? `\nall ${results.length} checks hold`
    : `\n${failures.length} of ${results.length} checks failed: ${failures.map(({ name }) => name).join(", ")}`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
