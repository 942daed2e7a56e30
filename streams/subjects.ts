/**
 * Every subject of the system, builders and parsers side by side. Nothing else puts subjects together.
 */
import { fromToken, toToken } from "./names.ts";

/** The kinds of log records, also the third token of their subjects. */
export type LogType = "events" | "announced" | "digest" | "node-down" | "acked";

/** `hf.log.<partition>.<type>.<incarnation>`: a record about an incarnation or one of its connections. */
export function logSubject(partition: number, type: LogType, incarnation: string): string {
  return `hf.log.${partition}.${type}.${toToken(incarnation)}`;
}

/** `hf.log.<partition>.accepted.<app>`: must-arrive messages. Not by device: a stream remembers every subject. */
export function acceptedSubject(partition: number, app: string): string {
  return `hf.log.${partition}.accepted.${toToken(app)}`;
}

/** `hf.log.<partition>.mark`: says nothing, but lets the checkpoint of a silent partition move on. */
export function logMarkSubject(partition: number): string {
  return `hf.log.${partition}.mark`;
}

/** Which incarnations are over, in all the partitions of a stream. */
export const NODE_DOWNS_FILTER = "hf.log.*.node-down.*";

/** The records, one in each partition, that say this incarnation is over. */
export function nodeDownFilter(incarnation: string): string {
  return `hf.log.*.node-down.${toToken(incarnation)}`;
}

/** Every record of one partition. */
export function logPartitionFilter(partition: number): string {
  return `hf.log.${partition}.>`;
}

/** Unicast to one node. High and normal priority travel on connections of their own. */
export type PushLane = "hi" | "lo";

export function nodePushSubject(incarnation: string, lane: PushLane): string {
  return `hf.node.${toToken(incarnation)}.push.${lane}`;
}

/** Orders to one node. */
export function nodeControlSubject(incarnation: string): string {
  return `hf.node.${toToken(incarnation)}.ctl`;
}

/** An order to every node. */
export const ALL_NODES_SUBJECT = "hf.nodes.ctl";

/** Heartbeats of access nodes. */
export function nodeBeatSubject(incarnation: string): string {
  return `hf.node.${toToken(incarnation)}.beat`;
}

export const NODE_BEATS_FILTER = "hf.node.*.beat";

/** Heartbeats of projectors. */
export const PROJECTOR_BEAT_SUBJECT = "hf.projector.beat";

/** Questions to a projector about the partitions that it owns. */
export function projectorQuerySubject(projector: string): string {
  return `hf.projector.${toToken(projector)}.query`;
}

/** Whom a channel message is for: the members of a room, of all rooms of a zone, or everybody. */
export type Channel =
  | { kind: "room"; app: string; id: string }
  | { kind: "zone"; app: string; id: string }
  | { kind: "all"; app: string };

/** Where channel messages are published; the stream numbers them. */
export function channelInSubject(channel: Channel): string {
  return `hf.chan.in.${channelTail(channel)}`;
}

/** Where the server republishes them, numbered, to the nodes. */
export function channelLiveSubject(channel: Channel): string {
  return `hf.chan.live.${channelTail(channel)}`;
}

function channelTail(channel: Channel): string {
  const id = channel.kind === "all" ? "all" : toToken(channel.id);
  return `${toToken(channel.app)}.${channel.kind}.${id}`;
}

export const CHANNEL_IN_FILTER = "hf.chan.in.>";
export const CHANNEL_LIVE_TEMPLATE = "hf.chan.live.>";

/** `hf.mail.<partition>.<app>.<device>`: must-arrive messages that wait for their device. */
export function mailSubject(partition: number, app: string, device: string): string {
  return `hf.mail.${partition}.${toToken(app)}.${toToken(device)}`;
}

/** The mail of one partition. */
export function mailPartitionFilter(partition: number): string {
  return `hf.mail.${partition}.>`;
}

export const MAIL_FILTER = "hf.mail.>";

/** Whose mail a subject of `mailSubject` is. */
export function parseMailSubject(subject: string): { app: string; device: string } {
  const [, , , app = "", device = ""] = subject.split(".");
  return { app: fromToken(app), device: fromToken(device) };
}

/** `hf.receipt.page.<shard>`: what became of must-arrive messages, many to a page. */
export function receiptPageSubject(shard: number): string {
  return `hf.receipt.page.${shard}`;
}

/** `hf.receipt.index.<shard>`: of which messages a page tells. */
export function receiptIndexSubject(shard: number): string {
  return `hf.receipt.index.${shard}`;
}

export const RECEIPT_PAGE_FILTER = "hf.receipt.page.*";
export const RECEIPT_INDEX_FILTER = "hf.receipt.index.*";

// Connection state, for business servers.

/** `hf.state.<app>.conn.<online|offline>.<device>` */
export function connectionStateSubject(
  app: string,
  event: "online" | "offline",
  device: string,
): string {
  return `hf.state.${toToken(app)}.conn.${event}.${toToken(device)}`;
}

/** `hf.state.<app>.business.<business>.<online|offline>.<device>`: of devices that use the business. */
export function businessStateSubject(
  app: string,
  business: string,
  event: "online" | "offline",
  device: string,
): string {
  return `hf.state.${toToken(app)}.business.${toToken(business)}.${event}.${toToken(device)}`;
}

/** `hf.state.<app>.room.<enter|leave>.<room>` */
export function roomStateSubject(app: string, event: "enter" | "leave", room: string): string {
  return `hf.state.${toToken(app)}.room.${event}.${toToken(room)}`;
}

export const STATE_FILTER = "hf.state.>";

/** What happened to the devices of one app. */
export function appStateFilter(app: string): string {
  return `hf.state.${toToken(app)}.>`;
}

/** Uplinks for businesses that consume a stream. */
export function uplinkSubject(app: string, business: string): string {
  return `hf.up.${toToken(app)}.${toToken(business)}`;
}

export const UPLINK_FILTER = "hf.up.>";

// Consumers of business servers. NATS can give rights to one name of a consumer, not to all that begin alike, so the
// names are fixed, and no two businesses come to the same one.

/** Of the uplinks of a business, shared by its instances. */
export function uplinkConsumer(app: string, business: string): string {
  return consumerName("up", app, business);
}

/** What a business may follow: devices that use it, all devices of the app, or its rooms. */
export type StateScope = "business" | "app" | "rooms";
export const STATE_SCOPES: readonly StateScope[] = ["business", "app", "rooms"];

/** Of the state events of a scope: shared by the instances of a business, or of one of them. */
export function stateConsumer(
  app: string,
  business: string,
  scope: StateScope,
  instance?: string,
): string {
  const shared = consumerName(`state_${scope}`, app, business);
  return instance === undefined ? shared : `${shared}=${instance}`;
}

/** Where the answers to the requests of a business server go. */
export function businessInboxPrefix(app: string, business: string): string {
  return `_INBOX_${toToken(app)}.${toToken(business)}`;
}

/** Where the answers to the gateway's own requests go, and what its consumers read, when it has a NATS user. */
export const GATEWAY_INBOX_PREFIX = "_INBOX_holdfast";

export function stateScopeFilter(app: string, business: string, scope: StateScope): string {
  switch (scope) {
    case "business":
      return `hf.state.${toToken(app)}.business.${toToken(business)}.>`;
    case "app":
      return `hf.state.${toToken(app)}.conn.>`;
    case "rooms":
      return `hf.state.${toToken(app)}.room.>`;
  }
}

/** No token holds "=". "_" would take the business "c" of app "a_b" for "b_c" of app "a", so it joins those without. */
function consumerName(kind: string, app: string, business: string): string {
  const parts = [toToken(app), toToken(business)];
  return [kind, ...parts].join(parts.some((part) => part.includes("_")) ? "=" : "_");
}

/** Whose uplinks a subject of `uplinkSubject` has. */
export function parseUplinkSubject(subject: string): { app: string; business: string } {
  const [, , app = "", business = ""] = subject.split(".");
  return { app: fromToken(app), business: fromToken(business) };
}

/** Whether a filter of a consumer, with its wildcards, covers a subject. */
export function covers(filter: string, subject: string): boolean {
  const wanted = filter.split(".");
  const tokens = subject.split(".");
  for (const [place, token] of wanted.entries()) {
    if (token === ">") return tokens.length > place;
    if (token !== "*" && token !== tokens[place]) return false;
  }
  return wanted.length === tokens.length;
}

/** Uplinks for businesses that answer over NATS; their instances share it as a queue group. */
export function rpcSubject(app: string, business: string): string {
  return `hf.rpc.${toToken(app)}.${toToken(business)}`;
}

/** On a message to the inbox of a request: the business has it, and its answer comes later. */
export const TAKEN_HEADER = "Holdfast-Taken";

/** Where the answers to the uplinks of one access node go; the number tells which one is answered. */
export function uplinkInboxSubject(inbox: string, number: number): string {
  return `_INBOX.${inbox}.${number}`;
}

export function uplinkInboxFilter(inbox: string): string {
  return `_INBOX.${inbox}.*`;
}

export function uplinkInboxNumber(subject: string): number {
  return Number(subject.slice(subject.lastIndexOf(".") + 1));
}

// Keys of the buckets.

/** `hf_route`: `<partition>.<app>.<device>`. */
export function routeKey(partition: number, app: string, device: string): string {
  return `${partition}.${toToken(app)}.${toToken(device)}`;
}

/** The app and device of a key of `hf_route`. */
export function parseRouteKey(key: string): { app: string; device: string } {
  const [, app = "", device = ""] = key.split(".");
  return { app: fromToken(app), device: fromToken(device) };
}

/** `hf_mailbox`, whether it is full: `full.<partition>.<app>.<device>`. */
export function fullKey(partition: number, app: string, device: string): string {
  return `full.${routeKey(partition, app, device)}`;
}

/** The app and device of a key of `fullKey`. */
export function parseFullKey(key: string): { app: string; device: string } {
  return parseRouteKey(key.slice(key.indexOf(".") + 1));
}

/** The full mailboxes of one partition, or of all. */
export function fullFilter(partition?: number): string {
  return partition === undefined ? "full.>" : `full.${partition}.>`;
}

/** `hf_mailbox`, what of it is handled: `handled.<partition>.<app>.<device>`. */
export function handledKey(partition: number, app: string, device: string): string {
  return `handled.${routeKey(partition, app, device)}`;
}

/** `hf_mailbox`, the lifts of a partition: `lift.<partition>`. */
export function liftKey(partition: number): string {
  return `lift.${partition}`;
}

/** Every route of one partition. */
export function routePartitionFilter(partition: number): string {
  return `${partition}.>`;
}

/** `hf_user`: `<app>.<user>.<device>`. */
export function userKey(app: string, user: string, device: string): string {
  return `${toToken(app)}.${toToken(user)}.${toToken(device)}`;
}

/** Every device of one user. */
export function userDevicesFilter(app: string, user: string): string {
  return `${toToken(app)}.${toToken(user)}.*`;
}

/** The user and device of a key of `hf_user`. */
export function parseUserKey(key: string): { user: string; device: string } {
  const [, user = "", device = ""] = key.split(".");
  return { user: fromToken(user), device: fromToken(device) };
}

/** `hf_lease` and `hf_checkpoint`: the partition. */
export function partitionKey(partition: number): string {
  return String(partition);
}

/** `hf_snapshot`: `<partition>.<generation>.<chunk>`. */
export function snapshotKey(partition: number, generation: number, chunk: number): string {
  return `${partition}.${generation}.${chunk}`;
}

/** The partition of a key of `hf_lease` or `hf_checkpoint`. */
export function partitionOfKey(key: string): number {
  return Number(key);
}

/** Every key of a bucket. */
export const ALL_KEYS = ">";

/** `hf_room`: `<app>.<room>`. */
export function roomKey(app: string, room: string): string {
  return `${toToken(app)}.${toToken(room)}`;
}

/** The app and room of a key of `hf_room`. */
export function parseRoomKey(key: string): { app: string; room: string } {
  const dot = key.indexOf(".");
  return { app: fromToken(key.slice(0, dot)), room: fromToken(key.slice(dot + 1)) };
}

/** What a revocation names: one token by its id, or all tokens of a device or user. */
export type RevokedKind = "token" | "device" | "user";

/** `hf_revoked`: `<app>.<kind>.<id>`. */
export function revokedKey(app: string, kind: RevokedKind, id: string): string {
  return `${toToken(app)}.${kind}.${toToken(id)}`;
}

/** Whom a key of `hf_revoked` is about. */
export function parseRevokedKey(key: string): { app: string; kind: RevokedKind; id: string } {
  const [app = "", kind = "", id = ""] = key.split(".");
  return { app: fromToken(app), kind: kind as RevokedKind, id: fromToken(id) };
}

/** `hf_business`: `<app>.<business>`. */
export function businessKey(app: string, business: string): string {
  return `${toToken(app)}.${toToken(business)}`;
}

/** Every business of one app. */
export function businessesFilter(app: string): string {
  return `${toToken(app)}.*`;
}

/** The app and business of a key of `hf_business`. */
export function parseBusinessKey(key: string): { app: string; business: string } {
  const dot = key.indexOf(".");
  return { app: fromToken(key.slice(0, dot)), business: fromToken(key.slice(dot + 1)) };
}

/** `hf_meta`: `canary.<name>`. */
export function canaryKey(name: string): string {
  return `canary.${toToken(name)}`;
}

/** Every canary rule. */
export const CANARIES_FILTER = "canary.*";

/** `hf_app`: `<app>`. */
export function appKey(app: string): string {
  return toToken(app);
}

/** The app of a key of `hf_app`. */
export function appOfKey(key: string): string {
  return fromToken(key);
}
