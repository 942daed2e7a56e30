import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";

export interface GatherOptions {
  subject: string;
  request: unknown;
  /** Ends it when so many have come; else only a status does. */
  most: number;
}

/** The longest silence between two messages. */
const SILENCE_MS = 5_000;

/**
 * One question whose answer is many messages: calls `each` with them, and resolves to the status
 * that ended them, undefined when `most` had come.
 * @throws HoldfastError `unavailable` when the connection is lost, `timeout` after 5 s of silence.
 */
export function gather(
  connection: Connection,
  options: GatherOptions,
  each: (message: Msg) => void,
): Promise<MsgHdrs | undefined> {
  const { nc, outbound, link } = connection;
  const { subject, request, most } = options;
  const { promise, resolve, reject } = Promise.withResolvers<MsgHdrs | undefined>();
  if (!link.connected) return Promise.reject(notConnected(subject));
  const inbox = connection.inbox();
  let count = 0;
  const silence = setTimeout(() => {
    reject(new HoldfastError("timeout", `no answer from ${subject} for ${SILENCE_MS} ms`));
  }, SILENCE_MS);
  const receive = (message: Msg): void => {
    const { headers } = message;
    if (headers?.code) {
      resolve(headers);
      return;
    }
    silence.refresh();
    each(message);
    count++;
    if (count === most) resolve(undefined);
  };
  const subscription = nc.subscribe(inbox, {
    callback: (error, message) => {
      try {
        if (error) throw error;
        receive(message);
      } catch (reason) {
        reject(reason);
      }
    },
  });
  const watcher = link.watch(() => reject(notConnected(subject)));
  outbound.publish(subject, Buffer.from(JSON.stringify(request)), inbox);
  return promise.finally(() => {
    clearTimeout(silence);
    subscription.unsubscribe();
    watcher.stop();
  });
}

function notConnected(subject: string): HoldfastError {
  return new HoldfastError("unavailable", `cannot ask ${subject}: not connected to NATS`);
}
