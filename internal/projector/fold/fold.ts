/**
 * The rules by which the records of one partition, in order, become routes. Deterministic: no
 * clock, no chance, no input but the table and the record. What is to be done outside comes back as
 * effects.
 */
import type {
  Announced,
  Connected,
  Connection,
  Digest,
  Disconnected,
  Event,
  Record as LogRecord,
  NodeDown,
  RoomsChanged,
} from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { type ConnectionId, parseConnectionId } from "../../../streams/connection-id.ts";
import { connectionHash } from "../../../streams/digest.ts";
import type { Route } from "../../../streams/records.ts";
import type { NodeView } from "./node-view.ts";
import type { Device, RouteTable } from "./route-table.ts";

export type Effect =
  /** The device's route has changed: from what it was before the record to what it is after it. */
  | { kind: "route"; device: Device; before: Route | undefined; after: Route }
  /** The device has logged in as its user. */
  | { kind: "user"; device: Device }
  /** Close this connection: its device has a newer one. */
  | { kind: "kick"; incarnation: string; counter: number }
  /** Have the node announce its connections of this partition: it and the table disagree. */
  | { kind: "announce"; incarnation: string };

/**
 * How long a dead incarnation is remembered. Longer than the log keeps the record that says so:
 * while that is there, no second one can be appended.
 */
export const REMEMBER_DEAD_MS = 48 * 60 * 60 * 1_000;

/** How long after a connection was opened its record may still be under way: see hasBegunAnew. */
const COUNT_HOLDS_MS = 5 * 60 * 1_000;

/** The record at hand: its place in the log, and what it has changed so far. */
interface Place {
  sequence: number;
  atMs: number;
  /** A record may name a device more than once: only what comes of it counts. */
  changes: Map<Device, Effect & { kind: "route" }>;
}

/** Folds one record into the table and adds what follows from it to `effects`. */
export function fold(
  table: RouteTable,
  sequence: number,
  record: LogRecord,
  effects: Effect[],
): void {
  if (sequence <= table.position) return;
  table.position = sequence;
  const place: Place = { sequence, atMs: Number(record.atMs), changes: new Map() };
  const { body } = record;
  if (body.case === "nodeDown") {
    nodeDown(table, body.value, place, effects);
    return;
  }
  if (body.case !== "events" && body.case !== "announced" && body.case !== "digest") return;
  const { incarnation } = body.value;
  // A node that is dead by this log does not know it yet. It will, and announce itself anew.
  if (incarnation === "" || table.dead.has(incarnation)) return;
  const node = table.node(incarnation);
  if (!isNext(node, Number(record.number), Number(record.stored), effects)) return;
  if (body.case !== "announced") node.announced = undefined;
  switch (body.case) {
    case "events":
      for (const event of body.value.events) happened(table, node, event, place, effects);
      break;
    case "announced":
      announced(table, node, body.value, place, effects);
      break;
    case "digest":
      digest(table, node, body.value, place, effects);
      break;
  }
}

/**
 * The receiving end of go-back-N: takes a node's records in the order of their numbers. A record of
 * which a copy was stored already is left out. So is one that comes too early: the one before it was
 * turned away, and its node sends both again. Only what the node knows to be stored, and is not there,
 * is lost, and made up for by an announcement.
 */
function isNext(node: NodeView, number: number, stored: number, effects: Effect[]): boolean {
  if (number <= node.number) return false;
  const lostUpTo = Math.min(stored, number - 1);
  if (lostUpTo > node.number) {
    node.number = lostUpTo;
    node.announced = undefined;
    effects.push({ kind: "announce", incarnation: node.incarnation });
  }
  if (number > node.number + 1) return false;
  node.number = number;
  return true;
}

function happened(
  table: RouteTable,
  node: NodeView,
  { body }: Event,
  place: Place,
  effects: Effect[],
): void {
  switch (body.case) {
    case "connected":
      connected(table, node, body.value, place, effects);
      break;
    case "disconnected":
      disconnected(table, node, body.value, place, effects);
      break;
    case "roomsChanged":
      roomsChanged(table, node, body.value, place, effects);
      break;
  }
}

function connected(
  table: RouteTable,
  node: NodeView,
  { connection }: Connected,
  place: Place,
  effects: Effect[],
): void {
  if (connection === undefined) return;
  const device = table.device(connection.app, connection.device);
  if (device !== undefined) {
    if (isKnown(device, place)) return;
    // Here already, or closed already: what ended comes back only under a new id.
    if (device.route.connection === connection.id) return;
  }
  const id = parseConnectionId(connection.id);
  if (device !== undefined && isNewer(device, connection, id)) {
    refuse(node, connection, id, effects);
    return;
  }
  accept(table, connection, id, place, effects);
}

function disconnected(
  table: RouteTable,
  node: NodeView,
  ended: Disconnected,
  place: Place,
  effects: Effect[],
): void {
  const { counter } = parseConnectionId(ended.connectionId);
  if (node.forgetDisplaced(counter)) return;
  const device = table.device(ended.app, ended.device);
  if (device === undefined || isKnown(device, place)) return;
  // Whatever came after this connection stays.
  if (!device.route.online || device.route.connection !== ended.connectionId) return;
  const before = device.route;
  table.goOffline(device, ended.reason, place.atMs, place.sequence);
  changed(effects, place, device, before);
}

function roomsChanged(
  table: RouteTable,
  node: NodeView,
  change: RoomsChanged,
  place: Place,
  effects: Effect[],
): void {
  const { counter } = parseConnectionId(change.connectionId);
  if (node.displaced.has(counter)) {
    node.displace(counter, connectionHash(counter, change.app, change.device, change.rooms));
    return;
  }
  const device = table.device(change.app, change.device);
  if (device === undefined || isKnown(device, place)) return;
  if (!device.route.online || device.route.connection !== change.connectionId) return;
  const before = device.route;
  table.setRooms(device, change.rooms, place.atMs, place.sequence);
  changed(effects, place, device, before);
}

/**
 * Each part counts at its place, so that nothing waits for the last. Only what a whole announcement
 * leaves out is gone.
 */
function announced(
  table: RouteTable,
  node: NodeView,
  part: Announced,
  place: Place,
  effects: Effect[],
): void {
  if (part.first) node.announced = new Set();
  for (const connection of part.connections) {
    const id = parseConnectionId(connection.id);
    node.announced?.add(id.counter);
    announcedConnection(table, node, connection, id, place, effects);
  }
  if (!part.last || node.announced === undefined) return;
  const present = node.announced;
  node.announced = undefined;
  for (const counter of node.displaced.keys()) {
    if (!present.has(counter)) node.forgetDisplaced(counter);
  }
  for (const [counter, device] of node.held) {
    if (present.has(counter) || isKnown(device, place)) continue;
    const before = device.route;
    table.goOffline(device, "transport-error", place.atMs, place.sequence);
    changed(effects, place, device, before);
  }
}

function announcedConnection(
  table: RouteTable,
  node: NodeView,
  connection: Connection,
  id: ConnectionId,
  place: Place,
  effects: Effect[],
): void {
  const device = table.device(connection.app, connection.device);
  if (device !== undefined && isKnown(device, place)) return;
  if (node.displaced.has(id.counter)) {
    refuse(node, connection, id, effects);
  } else if (device === undefined) {
    accept(table, connection, id, place, effects);
  } else if (device.route.connection !== connection.id && isNewer(device, connection, id)) {
    refuse(node, connection, id, effects);
  } else if (!device.route.online) {
    accept(table, connection, id, place, effects);
  } else if (device.route.connection === connection.id) {
    if (device.hash === hashOf(connection, id)) return;
    const before = device.route;
    table.setRooms(device, connection.rooms, place.atMs, place.sequence);
    changed(effects, place, device, before);
  } else if (
    device.route.loginNumber >= Number(connection.loginNumber) &&
    device.route.since > Number(connection.openedAtMs)
  ) {
    refuse(node, connection, id, effects);
  } else {
    accept(table, connection, id, place, effects);
  }
}

function digest(
  table: RouteTable,
  node: NodeView,
  { connections, hash }: Digest,
  place: Place,
  effects: Effect[],
): void {
  if (place.sequence <= table.settledAt) return;
  if (!node.sum.equals(connections, Number(hash))) {
    effects.push({ kind: "announce", incarnation: node.incarnation });
  }
  // The node still holds them, so their kicks were lost, or are on their way.
  kickDisplaced(node, effects);
}

function nodeDown(
  table: RouteTable,
  { incarnation }: NodeDown,
  place: Place,
  effects: Effect[],
): void {
  for (const [old, atMs] of table.dead) {
    if (atMs < place.atMs - REMEMBER_DEAD_MS) table.dead.delete(old);
  }
  table.dead.set(incarnation, place.atMs);
  const node = table.nodes.get(incarnation);
  if (node === undefined) return;
  for (const device of node.held.values()) {
    if (isKnown(device, place)) continue;
    const before = device.route;
    table.goOffline(device, "node-down", place.atMs, place.sequence);
    changed(effects, place, device, before);
  }
  table.nodes.delete(incarnation);
}

/** Orders to close every connection that was displaced and that its node still holds. */
export function kickDisplaced(node: NodeView, effects: Effect[]): void {
  for (const counter of node.displaced.keys()) {
    effects.push({ kind: "kick", incarnation: node.incarnation, counter });
  }
}

/** Notes that the record has changed the device's route; `before`: what it was until just now. */
function changed(
  effects: Effect[],
  { changes }: Place,
  device: Device,
  before: Route | undefined,
): void {
  const known = changes.get(device);
  if (known !== undefined) {
    known.after = device.route;
    return;
  }
  const change = { kind: "route" as const, device, before, after: device.route };
  changes.set(device, change);
  effects.push(change);
}

/** True if the route was loaded as this record or a later one had made it. */
function isKnown(device: Device, place: Place): boolean {
  return device.loadedAt >= place.sequence;
}

/**
 * True if the device has come again since this connection, whose record took longer: by the client's
 * count of its logins, which holds over all nodes, or as a later connection of the same node.
 */
function isNewer({ route, counter }: Device, connection: Connection, id: ConnectionId): boolean {
  const loginNumber = Number(connection.loginNumber);
  if (loginNumber > 0 && route.loginNumber > 0 && loginNumber !== route.loginNumber) {
    return loginNumber < route.loginNumber && !hasBegunAnew(route, connection);
  }
  return route.online && route.node === id.incarnation && counter > id.counter;
}

/**
 * A client that has lost its count, or whose clock was set back, would be locked out by its former
 * logins. A record is never under way for so long, so a connection that is so much later is no old one.
 */
function hasBegunAnew({ since }: Route, { openedAtMs }: Connection): boolean {
  return Number(openedAtMs) - since > COUNT_HOLDS_MS;
}

function accept(
  table: RouteTable,
  connection: Connection,
  id: ConnectionId,
  place: Place,
  effects: Effect[],
): void {
  const present = table.device(connection.app, connection.device);
  const before = present?.route;
  if (present?.route.online === true) {
    effects.push({ kind: "kick", incarnation: present.route.node, counter: present.counter });
    table.displace(present);
  }
  const device = table.goOnline(connection, id, place.atMs, place.sequence);
  changed(effects, place, device, before);
  if (connection.user !== "") effects.push({ kind: "user", device });
}

/** Leaves the device's present connection as it is, and closes this one. */
function refuse(node: NodeView, connection: Connection, id: ConnectionId, effects: Effect[]): void {
  node.displace(id.counter, hashOf(connection, id));
  effects.push({ kind: "kick", incarnation: node.incarnation, counter: id.counter });
}

function hashOf({ app, device, rooms }: Connection, id: ConnectionId): number {
  return connectionHash(id.counter, app, device, rooms);
}
