import { type Connection, connect } from "../../internal/bus/connect.ts";

/** A connection of the project's own kind, for whoever writes what roles write, or looks at what they wrote. */
export function connectToNats(...urls: string[]): Promise<Connection> {
  const events = { waiting: console.error, fault: console.error };
  return connect({ urls, name: "test", events });
}
