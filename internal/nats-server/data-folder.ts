import { mkdir, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HoldfastError } from "../status/errors.ts";

/**
 * Makes a folder and those above it. Node's own `mkdir` with `recursive` tries for ever, at full speed,
 * where a folder that is there says that it is not, as /proc does.
 */
export async function makeFolder(path: string): Promise<void> {
  const failure = await tryMake(path);
  if (failure === undefined || (await isFolder(path))) return;
  const above = dirname(path);
  if (failure.code !== "ENOENT" || above === path || (await isFolder(above))) throw failure;
  await makeFolder(above);
  const again = await tryMake(path);
  if (again !== undefined && !(await isFolder(path))) throw again;
}

/**
 * Makes the data folder, and tries whether it takes files.
 * @throws HoldfastError `invalid` naming the option when it does not.
 */
export async function prepareDataFolder(path: string): Promise<void> {
  const trial = join(path, `.trial-${process.pid}`);
  try {
    await makeFolder(path);
    await writeFile(trial, "");
    await rm(trial, { force: true });
  } catch (cause) {
    const { message } = HoldfastError.from(cause);
    throw new HoldfastError(
      "invalid",
      `--data-dir (HOLDFAST_DATA_DIR): ${path} cannot be written to: ${message}`,
      { cause },
    );
  }
}

/** What a folder's file system has for it: what is free, and what the folder holds already. */
export async function spaceFor(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize + (await sizeOf(folder));
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    // May be gone by now.
    const file = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    bytes += file?.size ?? 0;
  }
  return bytes;
}

async function tryMake(path: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(path);
    return undefined;
  } catch (failure) {
    return failure as NodeJS.ErrnoException;
  }
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}
