/** Rules that send a part of the clients to a group of nodes. */

import { hash32 } from "../../streams/partition.ts";
import type { CanaryRule, Labels } from "../../streams/records.ts";
import { decodeJson } from "../../streams/records.ts";
import { CANARIES_FILTER, canaryKey } from "../../streams/subjects.ts";
import type { Bucket, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { hasLabels } from "../nodes/address.ts";
import { HoldfastError } from "../status/errors.ts";

/** What a rule looks at. */
export interface CanaryClient {
  readonly app: string;
  readonly device: string;
  readonly platform: string;
  readonly appVersion: string;
  readonly labels: Labels;
}

const MOST_RULES = 100;
const HASHES = 2 ** 32;

/** Whether the rule sends this client to its nodes: always the same answer for the same client and rule. */
export function fits(rule: CanaryRule, client: CanaryClient): boolean {
  const { app, platforms, appVersions, labels } = rule;
  if (app !== "" && app !== client.app) return false;
  if (platforms.length > 0 && !platforms.includes(client.platform)) return false;
  if (appVersions.length > 0 && !appVersions.some((one) => isVersion(one, client.appVersion))) {
    return false;
  }
  return hasLabels(client.labels, labels) && shareOf(rule, client) < rule.percent;
}

/**
 * Where the client stands among all, 0 to 100. Of the rule's name too: else the same devices would come first in
 * every rule.
 */
function shareOf({ name }: CanaryRule, { app, device }: CanaryClient): number {
  return (100 * hash32(`${name}\n${app}\n${device}`)) / HASHES;
}

function isVersion(pattern: string, version: string): boolean {
  return pattern.endsWith("*") ? version.startsWith(pattern.slice(0, -1)) : version === pattern;
}

/** The rules, followed live from bucket `hf_meta`. */
export class Canaries implements Disposable {
  readonly #bucket: Bucket;
  readonly #rules = new Map<string, CanaryRule>();
  #list: readonly CanaryRule[] = [];
  #watch: Subscription | undefined;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async follow(bucket: Bucket): Promise<Canaries> {
    const canaries = new Canaries(bucket);
    canaries.#watch = await bucket.watch(CANARIES_FILTER, ({ key, value }) =>
      canaries.#put(key, value === undefined ? undefined : decodeJson<CanaryRule>(value)),
    );
    return canaries;
  }

  /** In the order of their names. Another array after each change. */
  list(): readonly CanaryRule[] {
    return this.#list;
  }

  /** @throws HoldfastError `exhausted`, `unavailable` */
  async set(rule: CanaryRule): Promise<void> {
    const key = canaryKey(rule.name);
    if (!this.#rules.has(key) && this.#rules.size >= MOST_RULES) {
      throw new HoldfastError("exhausted", `canary: there are ${MOST_RULES}; delete some first`);
    }
    await updateJson<CanaryRule>(this.#bucket, key, () => rule);
    this.#put(key, rule);
  }

  /** @throws HoldfastError `not-found`, `unavailable` */
  async delete(name: string): Promise<void> {
    const key = canaryKey(name);
    const entry = await this.#bucket.get(key);
    if (entry?.value === undefined) {
      throw new HoldfastError("not-found", `name: there is no canary rule ${name}`);
    }
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#bucket.delete(key, entry.revision, ({ kind }) => resolve(kind));
    if ((await promise) !== "stored") {
      throw new HoldfastError("unavailable", "somebody else has changed the rule; try again");
    }
    this.#put(key, undefined);
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }

  #put(key: string, rule: CanaryRule | undefined): void {
    if (rule === undefined) this.#rules.delete(key);
    else this.#rules.set(key, rule);
    this.#list = [...this.#rules.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
