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

/** Heartbeats of access nodes, sent as requests. */
export function nodeBeatSubject(incarnation: string): string {
  return `hf.node.${toToken(incarnation)}.beat`;
}

export const NODE_BEATS_FILTER = "hf.node.*.beat";

/** Where the answers to one heartbeat go. The number tells which one, so that a late answer is known as late. */
export function beatAnswerSubject(incarnation: string, beat: number): string {
  return `hf.node.${toToken(incarnation)}.answer.${beat}`;
}

/** The answers to all heartbeats of one node. */
export function beatAnswersFilter(incarnation: string): string {
  return `hf.node.${toToken(incarnation)}.answer.*`;
}

/** The number of the heartbeat that an answer on this subject belongs to. */
export function beatOfAnswer(subject: string): number {
  return Number(subject.slice(subject.lastIndexOf(".") + 1));
}

/** Heartbeats of projectors. */
export const PROJECTOR_BEAT_SUBJECT = "hf.projector.beat";

/** Questions to the owner of a partition. */
export function partitionQuerySubject(partition: number): string {
  return `hf.partition.${partition}.query`;
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

/** `hf.receipt.<app>.<business>.<message id>.<device>`: what became of a must-arrive message. */
export function receiptSubject(receipt: {
  app: string;
  business: string;
  messageId: string;
  device: string;
}): string {
  const { app, business, messageId, device } = receipt;
  return `hf.receipt.${toToken(app)}.${toToken(business)}.${toToken(messageId)}.${toToken(device)}`;
}

/** The receipts of one message, of whatever business, to all of its devices. */
export function messageReceiptsFilter(app: string, messageId: string): string {
  return `hf.receipt.${toToken(app)}.*.${toToken(messageId)}.*`;
}

export const RECEIPT_FILTER = "hf.receipt.>";

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

/** Uplinks for businesses that consume a stream. */
export function uplinkSubject(app: string, business: string): string {
  return `hf.up.${toToken(app)}.${toToken(business)}`;
}

export const UPLINK_FILTER = "hf.up.>";

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

/** `hf_full`: `<partition>.<app>.<device>`, like a route. */
export const mailboxKey = routeKey;

/** The app and device of a key of `hf_route` or `hf_full`. */
export function parseRouteKey(key: string): { app: string; device: string } {
  const [, app = "", device = ""] = key.split(".");
  return { app: fromToken(app), device: fromToken(device) };
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

/** The device in a key of `hf_user`. */
export function deviceOfUserKey(key: string): string {
  return fromToken(key.slice(key.lastIndexOf(".") + 1));
}

/** `hf_lease` and `hf_checkpoint`: the partition. */
export function partitionKey(partition: number): string {
  return String(partition);
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

/** `hf_app`: `<app>`. */
export function appKey(app: string): string {
  return toToken(app);
}

export function parseAppKey(key: string): string {
  return fromToken(key);
}
