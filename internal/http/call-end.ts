/**
 * How a call ends whose answer does not wait for the rest of its request: an oversized message, a
 * wrong key, an item that breaks a rule. What the caller still sends is read and thrown away, so that
 * it sees the answer rather than a full window or a reset, and so that its connection stays good for
 * the next call. Who sends on and on is cut off.
 *
 * Neither Node nor connect-node does it. Over HTTP/2, Node ends such a stream only when the request was
 * never touched or the response has no trailers, so it stays half open and counts against the
 * stream limit; and RST_STREAM at once, as RFC 9113 (8.1) allows, overtakes the trailers. Over HTTP/1.1,
 * connect-node leaves the body in the parser, where the next request waits behind it for good.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { HttpRequest, HttpResponse } from "./handler.ts";

/** A caller that sends more than this, or for longer, is cut off after the answer. */
const DISCARD_BYTES = 16 * 1_024 * 1_024;
const DISCARD_MS = 5_000;
/**
 * The answer waits for the end of the request while it is on its way, for two reasons. Not every client looks for
 * an answer while it sends. And who is answered early resets its stream, which Node goes on counting for
 * a turn (CanAddStream in its node_http2.cc, a fault of Node's): a call in the same packet is then
 * refused with ENHANCE_YOUR_CALM when the connection has as many calls as it may.
 */
const ANSWER_WITHIN_MS = 750;
/** A caller that sends nothing for this long waits for the answer itself. */
const PAUSE_MS = 100;
/** From the end of an answer to the cut: its last bytes are on their way then. */
const LINGER_MS = 500;

/**
 * Call it when nobody reads the request any more, and before the answer is written.
 * @returns when to write the answer.
 */
export async function discardRest(request: HttpRequest, response: HttpResponse): Promise<void> {
  if (request.readableEnded || !hasBody(request)) return;
  const { promise: answerTime, resolve: answerNow } = Promise.withResolvers<void>();
  if (isTooLong(request)) answerNow();
  const pause = setTimeout(answerNow, PAUSE_MS);
  const atLast = setTimeout(answerNow, ANSWER_WITHIN_MS);
  const { cut, done } = cutterOf(request, response);
  let left = DISCARD_BYTES;
  const stop = () => {
    clearTimeout(timer);
    request.off("data", count).pause();
    answerNow();
    cut();
  };
  const count = (chunk: Uint8Array) => {
    pause.refresh();
    left -= chunk.length;
    if (left < 0) stop();
  };
  const timer = setTimeout(stop, DISCARD_MS);
  request.on("data", count);
  // It may have been left in the middle of a read, and does not flow by itself then.
  request.resume();
  request.once("end", () => {
    clearTimeout(timer);
    done();
    answerNow();
  });
  request.once("close", () => {
    clearTimeout(timer);
    answerNow();
  });
  await answerTime;
  clearTimeout(pause);
  clearTimeout(atLast);
}

/** `cut` ends what carries the call once the answer is out, `done` says that it need not. */
interface Cutter {
  cut(): void;
  done(): void;
}

function cutterOf(request: HttpRequest, response: HttpResponse): Cutter {
  if ("stream" in request) return { cut: () => cutStream(request.stream), done: () => {} };
  const { socket } = request;
  if (!("stream" in response) && !response.headersSent && isTooLong(request)) {
    response.setHeader("Connection", "close");
  }
  // Node destroys the socket as soon as the last answer is written. What the caller sends then is
  // answered by a TCP reset, which takes the answer from those who have not read it yet; so the
  // connection is only half closed until the rest has been read.
  let ended = false;
  socket.destroySoon = () => {
    ended = true;
    socket.end();
  };
  return {
    cut: () => afterFinish(response, () => cutConnection(socket)),
    done: () => {
      Reflect.deleteProperty(socket, "destroySoon");
      if (ended) socket.destroySoon();
    },
  };
}

/** Whether it is known already that the rest is more than anyone reads on for. */
function isTooLong(request: HttpRequest): boolean {
  return Number(request.headers["content-length"] ?? 0) > DISCARD_BYTES;
}

function hasBody(request: HttpRequest): boolean {
  if ("stream" in request) return !request.stream.endAfterHeaders;
  const { "content-length": length = "0", "transfer-encoding": coding } = request.headers;
  return length !== "0" || coding !== undefined;
}

function cutStream(stream: ServerHttp2Stream): void {
  // Later, because RST_STREAM does not wait for the trailers to be written.
  const reset = () => setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS).unref();
  if (stream.writableFinished) reset();
  else stream.once("finish", reset);
}

function cutConnection(socket: Socket): void {
  socket.end();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

function afterFinish(response: HttpResponse, action: () => void): void {
  if (response.writableFinished) action();
  else response.once("finish", action);
}
