/** How the uplinks of one business are brought to it. One file beside this for each kind. */
import type { Business } from "../../../streams/records.ts";
import type { Appender } from "../../bus/contract.ts";
import type { Wheel } from "../../clock/wheel.ts";
import type { BusinessCounters } from "./counters.ts";
import type { Exchange } from "./exchange.ts";
import { GuardedHandler } from "./guarded.ts";
import { RequestCaller } from "./request.ts";
import type { RequestInbox } from "./request-inbox.ts";
import { RpcCaller } from "./rpc.ts";
import { StreamHandler } from "./stream.ts";
import type { UplinkRoom } from "./uplink-room.ts";

export interface Handler {
  /** Settles the exchange, at once or later. Throws nothing. */
  forward(exchange: Exchange): void;
  /** Nothing is forwarded any more, and everything was answered. */
  close(): void;
}

/** What the kinds need of the node. */
export interface HandlerMeans {
  /** For stream HF_UPLINK. */
  appender: Appender;
  /** In that stream. */
  room: UplinkRoom;
  inbox: RequestInbox;
  wheel: Wheel;
}

export interface HandlerOptions {
  app: string;
  business: string;
  settings: Business;
  counters: BusinessCounters;
  means: HandlerMeans;
  /** The business does not do what it should; said at most every 10 s. */
  complain: (why: string) => void;
}

export function createHandler(options: HandlerOptions): Handler {
  switch (options.settings.mode) {
    case "stream":
      return new StreamHandler(options);
    case "request":
      return new GuardedHandler(options, new RequestCaller(options));
    case "rpc":
      return new GuardedHandler(options, new RpcCaller(options.settings));
  }
}
