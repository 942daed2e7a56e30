import { Code, ConnectError } from "@connectrpc/connect";
import type { HttpRequest } from "./handler.ts";
import { MessageMeter } from "./message-meter.ts";

/**
 * Why a call that has ended as it should is over: one error for all, since each that is made takes its stack with it.
 */
export const CALL_IS_OVER = new ConnectError("the call is over", Code.Canceled);

export interface BodyOptions {
  /** Whether the body is a stream of messages, rather than one. */
  stream: boolean;
  /** How long may be waited for the bytes of one message, however many pieces it comes in. */
  messageMs: number;
  /** What somebody else has read of it. */
  read?: Uint8Array | undefined;
}

/**
 * The body of a call as connect-es wants it. Unlike the iterator of Node's own stream it never destroys
 * the request when it is left early: over HTTP/2 that would leave the stream open for good, and over
 * HTTP/1.1 the connection. What is left then is for call-end.ts.
 */
export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #request: HttpRequest;
  readonly #messageMs: number;
  readonly #read: Uint8Array | undefined;
  readonly #meter: MessageMeter | undefined;
  #waitedMs = 0;
  #stopped: ConnectError | undefined;
  #resume = () => {};
  readonly #wake = () => this.#resume();

  constructor(request: HttpRequest, { stream, messageMs, read }: BodyOptions) {
    this.#request = request;
    this.#read = read;
    this.#messageMs = messageMs;
    this.#meter = stream ? new MessageMeter() : undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const request = this.#request;
    if (this.#read !== undefined) yield this.#read;
    for (const event of ["readable", "end", "close", "error"]) request.on(event, this.#wake);
    for (;;) {
      if (this.#stopped !== undefined) throw this.#stopped;
      const chunk: unknown = request.read();
      if (chunk instanceof Uint8Array) {
        if (this.#meter?.take(chunk)) this.#waitedMs = 0;
        yield chunk;
      } else if (isCut(request)) {
        throw new ConnectError("the caller has gone away", Code.Canceled);
      } else if (request.readableEnded) {
        return;
      } else {
        await this.#more();
      }
    }
  }

  /** Leaves the request to others. Needed, because not everything in connect-es ends what it iterates. */
  leave(): void {
    this.stopWith(CALL_IS_OVER);
    this.#request.off("readable", this.#wake);
  }

  /** Gives nothing more, also to who waits for it: the call is over. */
  stopWith(reason: unknown): void {
    this.#stopped ??=
      reason instanceof ConnectError
        ? reason
        : new ConnectError("the call is over", Code.Canceled, undefined, undefined, reason);
    this.#resume();
  }

  /** Resolves when there is news. Only the time spent here counts: nobody is blamed for our slowness. */
  async #more(): Promise<void> {
    const began = performance.now();
    const limited = this.#meter === undefined || this.#meter.within;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resume = resolve;
    const timer = limited ? setTimeout(resolve, this.#messageMs - this.#waitedMs) : undefined;
    await promise;
    clearTimeout(timer);
    if (!limited) return;
    this.#waitedMs += performance.now() - began;
    if (this.#waitedMs >= this.#messageMs) {
      const seconds = this.#messageMs / 1_000;
      this.stopWith(
        new ConnectError(`a message must be here within ${seconds} s`, Code.DeadlineExceeded),
      );
    }
  }
}

/** Ended in the middle. An HTTP/2 request ends its body like a complete one then, and only this tells. */
function isCut(request: HttpRequest): boolean {
  return "stream" in request ? request.aborted : request.destroyed && !request.complete;
}
