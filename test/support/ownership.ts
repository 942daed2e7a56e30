/** Whether partitions stay with their owners: from outside in the bucket, and from what projectors and nodes say. */
import { Kvm } from "@nats-io/kv";
import type { Connection } from "../../internal/bus/connect.ts";
import type { Deployment } from "./deployment.ts";
import { connectToNats } from "./nats-connection.ts";

export interface OwnershipLosses {
  /** Partitions that went from one owner to another. */
  moved: number;
  /** "the lease was lost" and "the partition is loaded again" in the projectors' logs. */
  lost: number;
  loadedAgain: number;
  /** Declared dead by owners, once a partition. */
  nodesDeclaredDead: number;
}

const SAID = {
  lost: /lease was lost|ownership was lost|no longer (the )?owner/,
  loadedAgain: /the partition is loaded again/,
  nodesDeclaredDead: /declared dead/,
};

/** The owner of each partition, as the bucket has it. */
export async function ownersOf(natsUrl: string): Promise<Map<string, string>> {
  await using connection = await connectToNats(natsUrl);
  const bucket = await new Kvm(connection.nc).open("hf_lease");
  const owners = new Map<string, string>();
  for await (const key of await bucket.keys()) {
    const entry = await bucket.get(key);
    if (entry?.operation === "PUT") owners.set(key, ownerIn(entry.value));
  }
  return owners;
}

function ownerIn(value: Uint8Array): string {
  if (value.length === 0) return "";
  return (JSON.parse(new TextDecoder().decode(value)) as { owner?: string }).owner ?? "";
}

/** Counts from its opening to its disposal. */
export class Ownership implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #deployment: Deployment;
  readonly #before: Record<keyof typeof SAID, number>;
  readonly #owners = new Map<string, string>();
  #moved = 0;

  static async open(natsUrls: readonly string[], deployment: Deployment): Promise<Ownership> {
    const ownership = new Ownership(await connectToNats(...natsUrls), deployment);
    await ownership.#follow();
    return ownership;
  }

  private constructor(connection: Connection, deployment: Deployment) {
    this.#connection = connection;
    this.#deployment = deployment;
    this.#before = said(deployment);
  }

  get losses(): OwnershipLosses {
    const now = said(this.#deployment);
    return {
      moved: this.#moved,
      lost: now.lost - this.#before.lost,
      loadedAgain: now.loadedAgain - this.#before.loadedAgain,
      nodesDeclaredDead: now.nodesDeclaredDead - this.#before.nodesDeclaredDead,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }

  async #follow(): Promise<void> {
    const bucket = await new Kvm(this.#connection.nc).open("hf_lease");
    const entries = await bucket.watch();
    const follow = async () => {
      for await (const { key, value } of entries) {
        const owner = ownerIn(value);
        const before = this.#owners.get(key);
        if (owner === "") continue;
        if (before !== undefined && before !== owner) this.#moved += 1;
        this.#owners.set(key, owner);
      }
    };
    void follow();
  }
}

function said({ projectors }: Deployment): Record<keyof typeof SAID, number> {
  const lines = projectors.flatMap((projector) => projector.output());
  const count = (words: RegExp) => lines.filter((line) => words.test(line)).length;
  return {
    lost: count(SAID.lost),
    loadedAgain: count(SAID.loadedAgain),
    nodesDeclaredDead: count(SAID.nodesDeclaredDead),
  };
}
