import { execFile } from "node:child_process";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { tempFolder } from "../support/temp-folder.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Which of these files, each with one import, break the rules of biome.imports.jsonc. */
async function refused(files: readonly (readonly [path: string, imported: string])[]) {
  await using folder = await tempFolder();
  for (const file of ["biome.json", "biome.imports.jsonc", "package.json", ".gitignore"]) {
    await cp(join(ROOT, file), join(folder.path, file));
  }
  for (const [path, imported] of files) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true });
    await writeFile(join(folder.path, path), `export { thing } from "${imported}";\n`);
  }
  const output = await promisify(execFile)(
    join(ROOT, "node_modules/.bin/biome"),
    ["lint", "--reporter=github", "--max-diagnostics=none", "."],
    { cwd: folder.path },
  ).catch((failure: { stdout: string }) => failure);
  const at = (path: string) => new RegExp(`^::error .*file=[^,]*/?${path},`, "m");
  return files.filter(([path]) => at(path).test(output.stdout));
}

test("an import that goes along the arrows of the architecture is accepted", async () => {
  const accepted = [
    ["cmd/access/main.ts", "../../internal/access/service.ts"],
    ["cmd/all/main.ts", "../access/main.ts"],
    ["internal/access/session/session.ts", "./outbox.ts"],
    ["internal/access/service.ts", "../transport/ws.ts"],
    ["internal/push/service.ts", "../../proto/gen/holdfast/control/v1/control_pb.ts"],
    ["internal/projector/fold/fold.ts", "../../../streams/subjects.ts"],
    ["internal/bus/publisher.ts", "@nats-io/nats-core"],
    ["internal/nats-server/cache.ts", "node:fs"],
    ["streams/records.ts", "../proto/gen/holdfast/log/v1/log_pb.ts"],
    ["sdk/client.ts", "../proto/gen/holdfast/wire/v1/wire_pb.ts"],
    ["sdk/node-tcp.ts", "node:net"],
    ["test/access/session.test.ts", "../../internal/push/service.ts"],
    ["test/access/outbox.test.ts", "vitest"],
  ] as const;
  expect(await refused(accepted)).toEqual([]);
});

test("an import that goes against them is refused", async () => {
  const forbidden = [
    ["internal/access/a.ts", "../push/service.ts"],
    ["internal/access/session/a.ts", "../../push/service.ts"],
    ["internal/push/a.ts", "../projector/fold/fold.ts"],
    ["internal/projector/a.ts", "../control/service.ts"],
    ["internal/control/a.ts", "../access/service.ts"],
    ["internal/bus/a.ts", "../access/service.ts"],
    ["internal/bus/b.ts", "../../cmd/holdfast.ts"],
    ["internal/access/b.ts", "../../../main/internal/push/service.ts"],
    ["internal/http/a.ts", "../../sdk/client.ts"],
    ["internal/http/b.ts", "../../test/support/nats.ts"],
    ["internal/http/c.ts", "vitest"],
    ["cmd/all/a.ts", "../../scripts/tool.ts"],
    ["streams/a.ts", "../internal/status/errors.ts"],
    ["sdk/a.ts", "../streams/names.ts"],
    ["sdk/b.ts", "node:fs"],
    ["sdk/c.ts", "ws"],
    ["sdk/d.ts", "./node-tcp.ts"],
    ["sdk/node-a.ts", "../internal/wire/codec.ts"],
  ] as const;
  expect(await refused(forbidden)).toEqual(forbidden);
});

test("a circle of imports is refused", async () => {
  const circle = [
    ["internal/bus/a.ts", "./b.ts"],
    ["internal/bus/b.ts", "./c.ts"],
    ["internal/bus/c.ts", "./a.ts"],
  ] as const;
  expect(await refused(circle)).toEqual(circle);
});
