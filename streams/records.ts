/**
 * The values of the buckets: JSON, so that any NATS tool shows them. The log's records are
 * protobuf (proto/holdfast/log/v1).
 */
import type { LayoutOptions } from "./layout.ts";

/** `hf_route`: where a device is, or was last. Written only by the owner of its partition. */
export interface Route {
  app: string;
  device: string;
  /** "" for a device without a user. */
  user: string;
  online: boolean;
  /** "<incarnation>.<counter>" of the present connection, or of the last one. */
  connection: string;
  /** The incarnation of the access node. */
  node: string;
  platform: string;
  appVersion: string;
  address: string;
  /** What the client said at its login that it uses. */
  businesses: string[];
  /** Unix ms: when the present connection was opened, or the last one ended. */
  since: number;
  /** Unix ms of the newest record about this device. */
  lastSeen: number;
  rooms: string[];
  /** The log sequence of the record that made this. */
  sequence: number;
  /** Why it is offline: a close reason, or "node-down". "" while online. */
  reason: string;
  /** Of the login that made the connection, by the client's count; 0 when it does not count. */
  loginNumber: number;
}

/**
 * A message of `HF_STATE`: a device came online or went offline, or entered or left a room. Each
 * `online` and `enter` has its `offline` and `leave`, and those of one device come in order. A
 * connection that was replaced comes back in one case: its node still holds it when the newer one ends.
 */
export interface StateEvent {
  event: "online" | "offline" | "enter" | "leave";
  /** The same only for the same event: the subject's message id, by which the stream drops repeats. */
  id: string;
  app: string;
  device: string;
  /** "" for a device without a user. */
  user: string;
  /** "<incarnation>.<counter>" */
  connection: string;
  /** The incarnation of the access node. */
  node: string;
  platform: string;
  appVersion: string;
  address: string;
  /** Of `enter` and `leave`; "" for the others. */
  room: string;
  /** The business this copy is for; "" for the one that is for everybody. */
  business: string;
  /** Of `offline`, and of a `leave` because of it: a close reason, or "node-down". Else "". */
  reason: string;
  /** Unix ms, by the clock of the node; when the node has died, of who declared it dead. */
  at: number;
  /** Of `offline`: how long the connection was open. Else 0. */
  durationMs: number;
  /** Increases per device; events of one record of the log share it. */
  sequence: number;
}

/** `hf_user`: that this device is one of the user's. */
export interface UserDevice {
  /** Unix ms of the write; written again before the bucket would forget it. */
  at: number;
}

/**
 * `hf_lease`: who owns a partition. Written only when the owner changes, by whoever becomes or ceases to
 * be it: the owner goes on until the record names another.
 */
export interface Ownership {
  /** The projector's id; "" when it was given up. */
  owner: string;
  /** Grows with every taking. */
  epoch: number;
}

/**
 * `hf_checkpoint`: everything up to this log sequence of the partition is in the buckets. With it
 * what the fold knows at this sequence besides the routes.
 */
export interface Checkpoint {
  sequence: number;
  /**
   * How far its owner had read by then, which may be further: what is still to be delivered is read
   * again. What the records up to here did to routes is told and in the buckets.
   */
  read: number;
  /** The newest record that was read: if another one stands there, the log has lost its end. */
  newest?: ReadRecord;
  owner: string;
  /** The number of the newest record of each incarnation. */
  numbers: Record<string, number>;
  /** The incarnations that are over, and when (Unix ms of the record) each was declared so. */
  dead: Record<string, number>;
  /** The newest snapshot of the partition that is complete. */
  snapshot?: SnapshotRef;
}

/** `hf_snapshot`: the fold of a partition as it was at one place of its log, cut into chunks. */
export interface SnapshotRef {
  /** Part of the keys; another one for each snapshot of the partition. */
  generation: number;
  /** The log sequence of the newest record in it. */
  sequence: number;
  chunks: number;
}

/** A record of the log that an owner has read. */
export interface ReadRecord {
  sequence: number;
  /** When the broker stored it, and when the owner read it, Unix ms by the clock of each. */
  storedAtMs: number;
  readAtMs: number;
}

/** `hf_room`: what is known of a room besides its members. */
export interface RoomSettings {
  /** "" for none. */
  zone: string;
  /**
   * How its messages are gathered when there are many: "window", also without; "never"; or "latest", where
   * of those that are gathered only the last of each key is sent.
   */
  aggregation?: "window" | "never" | "latest";
  /** Of "latest": the name in the metadata whose value is the key. */
  latestKey?: string;
}

/** `hf_app`: a tenant. */
export interface AppRecord {
  keys: ApiKey[];
  /** Who may call Admit: the app's own servers with an API key or a token of theirs, or any client. */
  admission: Admission;
  /** With which the app signs tokens itself. */
  tokenKeys: TokenKey[];
  /** How Admit chooses access points. Unset: by load. */
  dispatch?: Dispatching;
}

export type Dispatching = "load" | "device";

export type Labels = Readonly<Record<string, string>>;

/** `hf_meta`, key `canary.<name>`: which clients go to a group of nodes that gets no others. */
export interface CanaryRule {
  name: string;
  /** The nodes that have all of these. */
  nodes: Labels;
  /** 0 to 100. */
  percent: number;
  /** "": any. */
  app: string;
  /** Empty: any. */
  platforms: readonly string[];
  /** One that ends in "*" stands for all that begin so. Empty: any. */
  appVersions: readonly string[];
  /** Of the client, all of them. */
  labels: Labels;
}

export type Admission = "key" | "open";

/** An API key: what it may be used for, and of the secret only a hash. */
export interface ApiKey {
  id: string;
  /** SHA-256 (hex) of the key as it is sent. */
  hash: string;
  name: string;
  /** Unix ms. */
  createdAt: number;
  /** Unix ms; 0: never. */
  expiresAt: number;
  scope: KeyScope;
}

/** An empty list, and 0, do not limit. */
export interface KeyScope {
  businesses: string[];
  /** Names of RPCs, such as "PushToUsers". */
  rpcs: string[];
  targetPrefixes: string[];
  callsPerSecond: number;
}

export const WHOLE_SCOPE: KeyScope = {
  businesses: [],
  rpcs: [],
  targetPrefixes: [],
  callsPerSecond: 0,
};

/** A key with which an app signs tokens, for one algorithm. One of the last three says what checks them. */
export interface TokenKey {
  kid: string;
  algorithm: "HS256" | "ES256" | "EdDSA";
  /** base64url. */
  secret: string;
  /** PEM. */
  publicKey: string;
  jwksUrl: string;
}

/** `hf_key`: a secret that the gateway's own tokens are signed with. Key `current`, and the ones before by their kid. */
export interface SigningKey {
  kid: string;
  /** base64url. */
  secret: string;
  /** Unix ms from which it is no good; 0 for the current one. */
  goodUntil: number;
}

/** `hf_revoked`: tokens issued up to now are refused. */
export interface Revocation {
  /** Unix ms. */
  at: number;
}

/**
 * A message of `HF_RECEIPT`: what has become of one must-arrive message on its way to one device.
 * There may be several receipts of one message; together they tell all of it.
 */
export interface Receipt {
  app: string;
  device: string;
  messageId: string;
  business: string;
  /** The delivery sequence; 0 for a message that was refused. */
  sequence: number;
  /** Unix ms. */
  expiresAtMs: number;
  steps: ReceiptStep[];
}

export interface ReceiptStep {
  step:
    | "accepted"
    /** Not accepted; `reason` says why. */
    | "refused"
    /** Handed to the device's node. */
    | "routed"
    /** In the connection's queue at its node. */
    | "written"
    /** In the mailbox, for when the device comes. */
    | "mailed"
    /** The device's application has handled it. */
    | "acked"
    /** Dropped, because its time was over or, as `reason` says, because it could not be kept. */
    | "expired";
  /** Unix ms. */
  at: number;
  /** The incarnation of the access node. */
  node?: string;
  connection?: string;
  /** 1 for the first sending by this owner of the partition. */
  attempt?: number;
  reason?: string;
}

/** `hf_mailbox`: whether a device's mailbox takes no more messages. Written by the partition's owner. */
export interface MailboxMark {
  full: boolean;
}

/** `hf_mailbox`: up to which delivery a device has handled its mail. Written by the partition's owner. */
export interface HandledMark {
  handled: number;
}

/**
 * `hf_mailbox`, a list of these: of a partition whose log has lost its end, by how much the deliveries
 * of records that the broker stored after this time (Unix ms) lie above their log sequences.
 */
export interface LogLift {
  afterMs: number;
  by: number;
  /** When this was found, Unix ms. */
  foundAtMs: number;
}

/** `hf_business`: how a business is given its uplinks. The limits hold for each access node. */
export interface Business {
  mode: "stream" | "request" | "rpc";
  /** Where BusinessService is served; "" but for mode `rpc`. */
  url: string;
  /** Of mode `rpc`: Connect over HTTP/1.1, or gRPC over HTTP/2. */
  protocol: "connect" | "grpc";
  timeoutMs: number;
  /** Uplinks under way at once. */
  concurrency: number;
  /** How many more may wait for a place. */
  queue: number;
  /** Replies of one connection come in the order of its requests. */
  ordered: boolean;
  maxPayloadBytes: number;
  maxReplyBytes: number;
  /** Uplinks a second of one connection; 0: no bound. */
  ratePerConnection: number;
  /** Of mode `stream`: the most that may wait in HF_UPLINK, in bytes; 0: as the deployment has it. */
  maxStoredBytes: number;
}

/** What holds where nobody said otherwise. */
export const BUSINESS_DEFAULTS: Business = {
  mode: "request",
  url: "",
  protocol: "connect",
  timeoutMs: 5_000,
  concurrency: 256,
  queue: 1_024,
  ordered: false,
  maxPayloadBytes: 65_536,
  maxReplyBytes: 262_144,
  ratePerConnection: 0,
  maxStoredBytes: 0,
};

/**
 * `hf_meta`, key `deployment`: what the streams are made from. Partitions and log streams never change, the
 * rest by `holdfast deployment set` only.
 */
export interface Deployment extends LayoutOptions {
  /** What the limits were derived from, if they were. */
  storeMaxBytes?: number;
}

export function encodeJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

export function decodeJson<T>(data: Uint8Array): T {
  return JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()) as T;
}
