/** A handler may return a promise; for must-arrive messages the acknowledgement waits for it. */
export type Handler<Value> = (value: Value) => unknown;

/** Typed events: `Events` maps each name to what its handlers are given. */
export class Emitter<Events> {
  readonly #handlers = new Map<keyof Events, Set<Handler<never>>>();

  /** Returns the function that removes the handler again. */
  on<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): () => void {
    let handlers = this.#handlers.get(name);
    if (handlers === undefined) {
      handlers = new Set();
      this.#handlers.set(name, handlers);
    }
    handlers.add(handler);
    return () => {
      handlers.delete(handler);
    };
  }

  has(name: keyof Events): boolean {
    return (this.#handlers.get(name)?.size ?? 0) > 0;
  }

  /**
   * Calls every handler, also when one throws. Returns undefined when all are done, otherwise a
   * promise of it, which rejects with the first failure.
   */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): Promise<void> | undefined {
    const handlers = this.#handlers.get(name) as Set<Handler<Events[Name]>> | undefined;
    if (handlers === undefined || handlers.size === 0) return undefined;
    const pending: Promise<unknown>[] = [];
    for (const handler of [...handlers]) {
      try {
        const result = handler(value);
        if (result instanceof Promise) pending.push(result);
      } catch (error) {
        pending.push(Promise.reject(error));
      }
    }
    return pending.length === 0 ? undefined : settleAll(pending);
  }
}

/** Waits for all of them, so that a failure does not hide work still going on. */
async function settleAll(pending: Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(pending)) {
    if (result.status === "rejected") throw result.reason;
  }
}
