/**
 * What a person has with any WebSocket tool: text goes in, text comes out. Node's own WebSocket, and
 * nothing that knows the protocol.
 */
import { closeAction } from "../../sdk/close-code.ts";
import { eventually } from "./eventually.ts";

type Frame = Record<string, Record<string, unknown>>;

export interface JsonClient extends Disposable {
  /** Sends text, or a frame as JSON. */
  send(frame: string | Frame): void;
  /** The oldest frame of this kind that nobody has taken; waits for one. */
  next(kind: string, withinMs?: number): Promise<Record<string, unknown>>;
  /** The close code; waits for the end. */
  ended(withinMs?: number): Promise<number>;
  readonly closed: boolean;
  /** Undefined while it is open. */
  readonly closeCode: number | undefined;
}

const WITHIN_MS = 10_000;

export async function connectJson(url: string): Promise<JsonClient> {
  const socket = new WebSocket(url);
  const frames: Frame[] = [];
  let code: number | undefined;
  socket.addEventListener("message", ({ data }) => frames.push(JSON.parse(String(data))));
  socket.addEventListener("close", (event) => {
    code = event.code;
  });
  await new Promise((open, fail) => {
    socket.addEventListener("open", open);
    socket.addEventListener("error", () => fail(new Error(`cannot connect to ${url}`)));
  });
  return {
    send: (frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame)),
    next: (kind, withinMs = WITHIN_MS) =>
      eventually(
        `a ${kind} frame`,
        () => {
          const at = frames.findIndex((frame) => kind in frame);
          if (at === -1 && code !== undefined) throw new Error(`closed (${code}) before a ${kind}`);
          return at === -1 ? undefined : frames.splice(at, 1)[0]?.[kind];
        },
        { withinMs, everyMs: 5 },
      ),
    ended: (withinMs = WITHIN_MS) => eventually("the end", () => code, { withinMs }),
    get closed() {
      return code !== undefined;
    },
    get closeCode() {
      return code;
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

/** Connects and logs in; again, as every client does, when the node does not take it at present. */
export function loginJson(
  url: string,
  token: string,
): Promise<{ client: JsonClient; welcome: Record<string, unknown> }> {
  return eventually("a login is welcomed", async () => {
    const client = await connectJson(url).catch(() => undefined);
    if (client === undefined) return undefined;
    client.send({ login: { token } });
    try {
      return { client, welcome: await client.next("welcome") };
    } catch (error) {
      const { closeCode } = client;
      if (closeCode !== undefined && closeAction(closeCode) === "reconnect") return undefined;
      throw error;
    }
  });
}
