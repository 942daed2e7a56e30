import { type Connection, connect } from "../../../internal/bus/connect.ts";

export function connectForBench(natsUrl: string): Promise<Connection> {
  const events = { waiting: console.error, fault: console.error };
  return connect({ urls: [natsUrl], name: "bench", events });
}
