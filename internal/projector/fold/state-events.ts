/**
 * What business servers are told of a change of a device's route: the difference of the two routes.
 * It depends on nothing else, so that whoever folds the same record tells the same, under the same ids.
 */
import type { Route, StateEvent } from "../../../streams/records.ts";

/** In the order in which they happened: a connection leaves its rooms, then it is offline. */
export function stateEvents(
  partition: number,
  before: Route | undefined,
  after: Route,
): StateEvent[] {
  const was = before?.online === true ? before : undefined;
  const is = after.online ? after : undefined;
  const events: StateEvent[] = [];
  const tell = (route: Route, what: What) => events.push(eventOf(partition, route, after, what));

  if (was !== undefined && was.connection === is?.connection) {
    for (const room of without(was.rooms, is.rooms)) tell(was, { event: "leave", room });
    for (const room of without(is.rooms, was.rooms)) tell(is, { event: "enter", room });
    return events;
  }
  if (was !== undefined) {
    // A device that is online again has pushed out its own earlier connection.
    const reason = is === undefined ? after.reason : "replaced";
    for (const room of was.rooms) tell(was, { event: "leave", room, reason });
    tell(was, { event: "offline", reason });
    for (const business of was.businesses) tell(was, { event: "offline", reason, business });
  }
  if (is !== undefined) {
    tell(is, { event: "online" });
    for (const business of is.businesses) tell(is, { event: "online", business });
    for (const room of is.rooms) tell(is, { event: "enter", room });
  }
  return events;
}

interface What {
  event: StateEvent["event"];
  room?: string;
  business?: string;
  reason?: string;
}

/** `route` is the connection it is about, `after` what the record has made of it. */
function eventOf(partition: number, route: Route, after: Route, what: What): StateEvent {
  const { event, room = "", business = "", reason = "" } = what;
  const { app, device, user, connection, node, platform, appVersion, address, since } = route;
  const { lastSeen: at, sequence } = after;
  return {
    event,
    id: `${partition}.${sequence}.${event}.${connection}/${room}/${business}`,
    app,
    device,
    user,
    connection,
    node,
    platform,
    appVersion,
    address,
    room,
    business,
    reason,
    at,
    // Clocks of nodes differ.
    durationMs: event === "offline" ? Math.max(0, at - since) : 0,
    sequence,
  };
}

function without(rooms: readonly string[], others: readonly string[]): string[] {
  return rooms.filter((room) => !others.includes(room));
}
