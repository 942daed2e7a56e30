/**
 * Gathers what a turn of the event loop sends to NATS and sends it at its end. The client library
 * writes to its socket after every callback, so answers given one by one cost a system call each:
 * together they take half of the time, here and in the server.
 */
export class TurnEnd {
  readonly #sends: (() => void)[] = [];
  readonly #failed: (error: unknown) => void;

  /** `failed` is told what a sending throws, as on a connection that was closed. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  send(send: () => void): void {
    if (this.#sends.push(send) === 1) setImmediate(() => this.flush());
  }

  /** Sends what was gathered now. */
  flush(): void {
    for (const send of this.#sends.splice(0)) {
      try {
        send();
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}
