import { execFile } from "node:child_process";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "..");

export interface ToolResult {
  readonly failed: boolean;
  /** What it printed on both streams. */
  readonly output: string;
}

/** Runs a program of node_modules in the project's folder. */
export function runTool(name: string, ...args: string[]): Promise<ToolResult> {
  const program = join(ROOT, "node_modules", ".bin", name);
  const options = { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      // A program that could not be started has printed nothing; its error says why.
      const output = `${stdout}${stderr}` || (error?.message ?? "");
      resolve({ failed: error !== null, output });
    });
  });
}
