/** What the run and its client processes say to each other. */
export interface Admitted {
  device: string;
  /** "" for the SDK, which asks by itself. */
  token: string;
}

export interface Restlessness {
  /** How long a device stays connected, on average. */
  onlineMs: number;
  /** How long it stays away, on average. */
  awayMs: number;
}

export type ClientOrder =
  /** The first order. Everybody connects and stays. */
  | {
      order: "begin";
      /** What the devices are made with: the SDK, or bare sockets that behave worse. */
      kind: "bare" | "sdk";
      devices: Admitted[];
      urls: string[];
      controlUrl: string;
      folder: string;
      writer: string;
      seed: number;
      forgets: number;
      /** Between two logins at the beginning. */
      spreadMs: number;
    }
  /** From now on everybody comes and goes. */
  | { order: "be-restless"; restlessness: Restlessness }
  /** From now on these are away, and everybody else connects and stays. */
  | { order: "settle"; away: string[] }
  | { order: "report" };

export interface ClientReport {
  devices: number;
  online: number;
  /** Deliveries that came again and were dropped. */
  repeats: number;
  /** Logins so far. */
  logins: number;
  /** Attempts that ended before a welcome. */
  refusals: number;
}
