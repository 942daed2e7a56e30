import type { ProjectorBeat } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Member } from "./assignment.ts";
import { type Hearing, TAKEOVER_MS } from "./hearing.ts";

/** A new one counts after this long, so that one that keeps crashing is given nothing. */
const SETTLE_MS = 2_000;

interface Other extends Member {
  firstHeard: number;
  lastHeard: number;
  counts: boolean;
}

/** The projectors that are alive, as far as this one can hear. */
export class Members {
  readonly #id: string;
  readonly #clock: Clock;
  readonly #hearing: Hearing;
  readonly #others = new Map<string, Other>();
  /** Silent for too long, though a record may still name them. */
  readonly #gone = new Set<string>();
  #changed = false;

  constructor(id: string, clock: Clock, hearing: Hearing) {
    this.#id = id;
    this.#clock = clock;
    this.#hearing = hearing;
  }

  heard({ projector, declined }: ProjectorBeat): void {
    const now = this.#clock.monotonic();
    this.#gone.delete(projector);
    const other = this.#others.get(projector);
    if (other === undefined) {
      const first = { firstHeard: now, lastHeard: now, counts: false };
      this.#others.set(projector, { id: projector, declined: new Set(declined), ...first });
      return;
    }
    other.lastHeard = now;
    if (declined.length !== other.declined.size || declined.some((p) => !other.declined.has(p))) {
      other.declined = new Set(declined);
      this.#changed ||= other.counts;
    }
  }

  /** A record names this one, so it has been there for a while: its time begins now if it was not heard yet. */
  named(projector: string): void {
    if (projector === "" || projector === this.#id || this.#gone.has(projector)) return;
    const now = this.#clock.monotonic();
    const other = this.#others.get(projector) ?? {
      ...{ id: projector, declined: new Set<number>() },
      ...{ firstHeard: now, lastHeard: now, counts: false },
    };
    this.#others.set(projector, other);
    this.#count(other);
  }

  /** Whether a partition that this one owns is in good hands. */
  isAlive(projector: string): boolean {
    return projector === this.#id || this.#others.has(projector);
  }

  /** True if there are others now than the last time, or they decline others. */
  tick(): boolean {
    const settled = this.#clock.monotonic() - SETTLE_MS;
    for (const other of this.#others.values()) {
      if (this.#hearing.silence(other.lastHeard) >= TAKEOVER_MS) {
        this.#others.delete(other.id);
        this.#gone.add(other.id);
        this.#changed = true;
      } else if (other.firstHeard <= settled) this.#count(other);
    }
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** This one and the others that count. */
  list(declined: ReadonlySet<number>): Member[] {
    const others = [...this.#others.values()].filter(({ counts }) => counts);
    return [{ id: this.#id, declined }, ...others].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  #count(other: Other): void {
    if (other.counts) return;
    other.counts = true;
    this.#changed = true;
  }
}
