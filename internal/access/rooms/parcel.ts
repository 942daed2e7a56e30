import type { SharedFrame } from "../../wire/shared-frame.ts";
import { Priority } from "../session/priority.ts";
import type { Entry } from "./entry.ts";

/** What a member at `after` is given next. Made once, and shared by all that stand there. */
export class Parcel {
  readonly after: number;
  /** Where it stands then. */
  readonly upTo: number;
  readonly entries: readonly Entry[];
  #pushes: readonly SharedFrame[] | undefined;
  #thinned: Parcel | undefined;

  constructor(after: number, upTo: number, entries: readonly Entry[]) {
    this.after = after;
    this.upTo = upTo;
    this.entries = entries;
  }

  get pushes(): readonly SharedFrame[] {
    this.#pushes ??= this.entries.flatMap(({ push }) => push ?? []);
    return this.#pushes;
  }

  /** Without what is of low priority: for a member that is far behind. */
  get thinned(): Parcel {
    this.#thinned ??= this.entries.some(({ priority }) => priority === Priority.LOW)
      ? new Parcel(
          this.after,
          this.upTo,
          this.entries.filter(({ priority }) => priority !== Priority.LOW),
        )
      : this;
    return this.#thinned;
  }
}
