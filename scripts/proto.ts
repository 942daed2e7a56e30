/** Generates proto/gen from the contracts in proto/holdfast. */

import { runTool } from "./tool.ts";

const { failed, output } = await runTool("buf", "generate");
process.stdout.write(output);
process.exitCode = failed ? 1 : 0;
