import type { SetRooms } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Session } from "./session.ts";
import { isLoggedIn } from "./session-state.ts";

/**
 * A business server puts the connection into rooms, or takes it out. One whose login is under way is not
 * in any yet: then it is done when it is welcomed.
 */
export function setRooms(session: Session, order: SetRooms): void {
  if (!isLoggedIn(session.state)) {
    session.ordered ??= [];
    session.ordered.push(order);
    return;
  }
  const { rooms } = session.services;
  // Left first, so that a business can swap rooms of a connection that has reached its limit.
  rooms.leave(session, order.leave);
  rooms.join(
    session,
    order.join.map((room) => ({ room, position: 0, epoch: 0 })),
  );
}
