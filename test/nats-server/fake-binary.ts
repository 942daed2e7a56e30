import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** A program that passes for a nats-server of this version as long as nobody connects to it. */
export async function fakeNatsServer(path: string, version: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
  return path;
}
