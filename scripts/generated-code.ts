import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, runTool, type ToolResult } from "./tool.ts";

const GENERATED = "proto/gen";

/** Fails when proto/gen is not what the contracts generate now. */
export async function checkGeneratedCode(): Promise<ToolResult> {
  const fresh = await mkdtemp(join(tmpdir(), "holdfast-proto-"));
  try {
    const generated = await runTool("buf", "generate", "--output", fresh);
    if (generated.failed) return generated;
    const [expected, actual] = await Promise.all([
      filesIn(join(fresh, GENERATED)),
      filesIn(join(ROOT, GENERATED)),
    ]);
    const paths = [...new Set([...expected.keys(), ...actual.keys()])].sort();
    const drifted = paths.filter((path) => expected.get(path) !== actual.get(path));
    const lines = drifted.map((path) => `${GENERATED}/${path} differs from the contracts\n`);
    const advice = lines.length > 0 ? "Run npm run proto.\n" : "";
    return { failed: lines.length > 0, output: lines.join("") + advice };
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Relative path to content. */
async function filesIn(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    await Promise.all(
      files.map(async (file): Promise<[string, string]> => {
        const path = join(file.parentPath, file.name);
        return [path.slice(folder.length + 1), await readFile(path, "utf8")];
      }),
    ),
  );
}
