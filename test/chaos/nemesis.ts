import { setTimeout as sleep } from "node:timers/promises";
import { describeFault, type Fault, type ServerFault } from "./nemesis-plan.ts";

/** A process that can be struck, by its name in the plan. */
export interface Victim {
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again where it was. */
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void | Promise<void>;
  thaw(): void | Promise<void>;
  /** What else can be done to it. Each resolves when all is well again, so long after. */
  deeds?: Partial<Record<ServerFault, (forMs: number) => Promise<void>>>;
}

/** Strikes as planned, and resolves when every victim runs again. */
export async function unleash(
  plan: readonly Fault[],
  victims: ReadonlyMap<string, Victim>,
  report: (line: string) => void,
): Promise<void> {
  const startedAt = performance.now();
  await Promise.all(
    plan.map(async (fault) => {
      await sleep(Math.max(0, startedAt + fault.atMs - performance.now()));
      report(describeFault(fault));
      const victim = victims.get(fault.victim);
      if (victim === undefined) throw new Error(`no victim named ${fault.victim}`);
      await strike(fault, victim);
    }),
  );
}

async function strike({ how, forMs }: Fault, victim: Victim): Promise<void> {
  if (how === "kill") {
    await victim.kill();
    await sleep(forMs);
    await victim.start();
  } else if (how === "freeze") {
    await victim.freeze();
    await sleep(forMs);
    await victim.thaw();
  } else {
    const deed = victim.deeds?.[how];
    if (deed === undefined) throw new Error(`nothing is known of ${how}`);
    await deed(forMs);
  }
}
