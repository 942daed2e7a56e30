import type { Random } from "../../internal/clock/clock.ts";
import type { History } from "./history.ts";

/** Without a word, with a WebSocket close, or for good. */
export type Leaving = "cut" | "close" | "logout";

/** One device of a client process, whatever it is made with. It writes down what it sees. */
export interface Device {
  readonly name: string;
  readonly online: boolean;
  /** Deliveries that came again and were dropped, as they must be. */
  readonly repeats: number;
  /** Attempts that ended before a welcome. */
  readonly refusals: number;
  /** Connects, and reconnects until told to leave. */
  come(): void;
  leave(how: Leaving): void;
  /** Called every second or so. */
  tick(now: number): void;
}

export interface DeviceOptions {
  device: string;
  history: History;
  random: Random;
  /** Told whenever the device comes online. */
  cameOnline(device: Device): void;
}
