import type { Connection } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { type ConnectionId, parseConnectionId } from "../../../streams/connection-id.ts";
import { connectionHash } from "../../../streams/digest.ts";
import type { Route } from "../../../streams/records.ts";
import { GroupIndex, groupKey } from "./group-index.ts";
import { NodeView } from "./node-view.ts";

/** A device and where it is. One object for as long as the device is known. */
export interface Device {
  route: Route;
  /** Of route.connection. */
  counter: number;
  /** Of the present connection, as its node's digest counts it. */
  hash: number;
  /** The sequence of the route as it was loaded: the table knows this device ahead of the log up to here. */
  loadedAt: number;
}

/** What a checkpoint keeps besides the routes. */
export interface Progress {
  sequence: number;
  numbers: Record<string, number>;
  dead: Record<string, number>;
}

const idOf = ({ route }: Device) => route.device;

/**
 * The state that the log of one partition folds into: the routes, and indexes of them by node,
 * room and user that the methods here keep in step. The rules are in fold.ts.
 */
export class RouteTable {
  readonly devices = new Map<string, Device>();
  readonly nodes = new Map<string, NodeView>();
  /** Incarnations that are over, with the Unix ms of the record that says so. */
  readonly dead = new Map<string, number>();
  readonly rooms = new GroupIndex(idOf);
  readonly users = new GroupIndex(idOf);
  /** The sequence of the newest record folded. */
  position = 0;
  /**
   * Routes are stored ahead of the checkpoint, so below this sequence the table may know more than
   * the log does at that place, and digests cannot be compared.
   */
  settledAt = 0;

  /** The table as it was at a checkpoint, from the routes that were stored then or later. */
  static restore(progress: Progress, routes: Iterable<Route>): RouteTable {
    const table = new RouteTable();
    table.position = progress.sequence;
    for (const [incarnation, atMs] of Object.entries(progress.dead)) {
      table.dead.set(incarnation, atMs);
    }
    for (const [incarnation, number] of Object.entries(progress.numbers)) {
      table.node(incarnation).number = number;
    }
    for (const route of routes) table.restoreStored(route);
    return table;
  }

  /** A route as it is stored, which may be ahead of the position. */
  restoreStored(route: Route): void {
    this.restoreRoute(route).loadedAt = route.sequence;
    this.settledAt = Math.max(this.settledAt, route.sequence);
  }

  /** A route as it was at the position. */
  restoreRoute(route: Route): Device {
    const { counter } = parseConnectionId(route.connection);
    const device = this.#deviceOf(route);
    device.route = route;
    device.counter = counter;
    device.hash = connectionHash(counter, route.app, route.device, route.rooms);
    if (route.online) this.#link(device);
    return device;
  }

  /** What a checkpoint at the present position has to keep. */
  progress(): Progress {
    const numbers: Record<string, number> = {};
    for (const [incarnation, node] of this.nodes) numbers[incarnation] = node.number;
    return { sequence: this.position, numbers, dead: Object.fromEntries(this.dead) };
  }

  device(app: string, device: string): Device | undefined {
    return this.devices.get(groupKey(app, device));
  }

  /** The view of a live incarnation, made when it is new. */
  node(incarnation: string): NodeView {
    let node = this.nodes.get(incarnation);
    if (node === undefined) {
      node = new NodeView(incarnation);
      this.nodes.set(incarnation, node);
    }
    return node;
  }

  /** Makes this connection the device's route. The caller has seen to what it replaces. */
  goOnline(connection: Connection, id: ConnectionId, atMs: number, sequence: number): Device {
    const { app, user, rooms, client } = connection;
    const route: Route = {
      app,
      device: connection.device,
      user,
      online: true,
      connection: connection.id,
      node: id.incarnation,
      platform: client?.platform ?? "",
      appVersion: client?.appVersion ?? "",
      address: connection.address,
      businesses: connection.businesses,
      since: Number(connection.openedAtMs),
      lastSeen: atMs,
      rooms,
      sequence,
      reason: "",
      loginNumber: Number(connection.loginNumber),
    };
    const device = this.#deviceOf(route);
    device.route = route;
    device.counter = id.counter;
    device.hash = connectionHash(id.counter, app, connection.device, rooms);
    this.#link(device);
    return device;
  }

  goOffline(device: Device, reason: string, atMs: number, sequence: number): void {
    this.#unlink(device);
    device.route = {
      ...device.route,
      online: false,
      since: atMs,
      lastSeen: atMs,
      rooms: [],
      sequence,
      reason,
    };
  }

  setRooms(device: Device, rooms: string[], atMs: number, sequence: number): void {
    this.#unlink(device);
    const { route, counter } = device;
    device.route = { ...route, rooms, lastSeen: atMs, sequence };
    device.hash = connectionHash(counter, route.app, route.device, rooms);
    this.#link(device);
  }

  /** Takes an online device's connection off the route; its node holds it until it is kicked. */
  displace(device: Device): void {
    const { counter, hash } = device;
    this.#unlink(device);
    this.node(device.route.node).displace(counter, hash);
  }

  /** Forgets a device that is offline. */
  forget(device: Device): void {
    const { app, device: id, user } = device.route;
    this.devices.delete(groupKey(app, id));
    if (user !== "") this.users.remove(app, user, device);
  }

  /** The device of this route, known by the route's user from now on. */
  #deviceOf(route: Route): Device {
    const { app, user } = route;
    const key = groupKey(app, route.device);
    let device = this.devices.get(key);
    if (device === undefined) {
      device = { route, counter: 0, hash: 0, loadedAt: 0 };
      this.devices.set(key, device);
      if (user !== "") this.users.add(app, user, device);
    } else if (device.route.user !== user) {
      if (device.route.user !== "") this.users.remove(app, device.route.user, device);
      if (user !== "") this.users.add(app, user, device);
    }
    return device;
  }

  #link(device: Device): void {
    const { app, node, rooms } = device.route;
    this.node(node).hold(device);
    for (const room of rooms) this.rooms.add(app, room, device);
  }

  #unlink(device: Device): void {
    const { app, node, rooms } = device.route;
    this.nodes.get(node)?.drop(device);
    for (const room of rooms) this.rooms.remove(app, room, device);
  }
}
