/** What tests do to the machine itself, where they may: they need root, and Linux. */
import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { ServerHome } from "./nats-cluster.ts";
import { tiedCommand } from "./tied.ts";

const run = promisify(execFile);

/** Why this process cannot do such things with a program of the system's; undefined: it can. */
export function whyNotAsRoot(program: "ip" | "mount"): string | undefined {
  if (process.platform !== "linux") return "it needs Linux";
  if (process.getuid?.() !== 0) return "it needs root";
  const found = spawnSync(program, ["-V"], { stdio: "ignore" }).error === undefined;
  return found ? undefined : `it needs the program ${program}`;
}

export interface IsolatedHomes extends AsyncDisposable {
  readonly homes: ServerHome[];
  /** From then on nothing that one sends arrives, and nothing reaches it; nobody is told. */
  cut(index: number): Promise<void>;
  mend(index: number): Promise<void>;
}

/**
 * Network namespaces for servers, all on one bridge of this machine: from outside each is a machine with a
 * cable. Taken off the bridge it loses every packet without a word, as behind a packet filter.
 */
export async function isolatedHomes(count: number): Promise<IsolatedHomes> {
  // Interface names have room for 15 letters.
  const id = `hf${randomBytes(3).toString("hex")}`;
  const subnet = `10.213.${randomBytes(1)[0]}`;
  const ip = (...args: string[]) => run("ip", args);
  const bridge = `${id}br`;
  const cable = (index: number) => `${id}v${index}`;
  await using started = new AsyncDisposableStack();

  const remove = (what: string) => {
    tiedCommand(`ip ${what} 2>/dev/null`);
    started.defer(() => void ip(...what.split(" ")).catch(() => {}));
  };
  remove(`link del ${bridge}`);
  await ip("link", "add", bridge, "type", "bridge");
  await ip("addr", "add", `${subnet}.254/24`, "dev", bridge);
  await ip("link", "set", bridge, "up");
  const homes: ServerHome[] = [];
  for (let index = 0; index < count; index += 1) {
    const namespace = `${id}n${index}`;
    const host = `${subnet}.${index + 1}`;
    const inside = (...args: string[]) => ip("-n", namespace, ...args);
    remove(`netns del ${namespace}`);
    // A namespace lives on while a connection of its own does.
    remove(`link del ${cable(index)}`);
    await ip("netns", "add", namespace);
    await ip(
      "link",
      "add",
      cable(index),
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      namespace,
    );
    await inside("addr", "add", `${host}/24`, "dev", "eth0");
    await inside("link", "set", "lo", "up");
    await inside("link", "set", "eth0", "up");
    await ip("link", "set", cable(index), "master", bridge, "up");
    homes.push({ host, namespace });
  }
  const running = started.move();
  return {
    homes,
    cut: async (index) => void (await ip("link", "set", cable(index), "nomaster")),
    mend: async (index) => void (await ip("link", "set", cable(index), "master", bridge)),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** A store of this size in memory, so that it can be filled. */
export function smallStore(megabytes: number): NonNullable<ServerHome["makeStore"]> {
  return async (storeDir) => {
    await run("mkdir", ["-p", storeDir]);
    tiedCommand(`umount -l ${storeDir} 2>/dev/null`);
    await run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "holdfast-test", storeDir]);
    return async () => void (await run("umount", ["-l", storeDir]));
  };
}
