import type { Session } from "./session.ts";
import { isLoggedIn } from "./session-state.ts";

/** The open sessions of a node, by the counter of their connection id. */
export class SessionTable {
  readonly #sessions = new Map<number, Session>();

  add(session: Session): void {
    this.#sessions.set(session.counter, session);
  }

  delete(session: Session): void {
    this.#sessions.delete(session.counter);
  }

  /** The session, if it is there and may be sent to. */
  loggedIn(counter: number): Session | undefined {
    const session = this.#sessions.get(counter);
    return session !== undefined && isLoggedIn(session.state) ? session : undefined;
  }

  /** The session, if it is there and the log was told of it: logged in, or about to be. */
  logged(counter: number): Session | undefined {
    const session = this.#sessions.get(counter);
    return session?.logged === true ? session : undefined;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** All of them, logged in or not. Some may be added and deleted meanwhile. */
  [Symbol.iterator](): Iterator<Session> {
    return this.#sessions.values();
  }
}
