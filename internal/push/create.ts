import type { ConnectRouter } from "@connectrpc/connect";
import { BusinessRegistryService } from "../../proto/gen/holdfast/business/v1/registry_pb.ts";
import { DirectoryService } from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import type { Appender, Bucket, Link, Messages, Receipts } from "../bus/contract.ts";
import { BusinessStore } from "../businesses/store.ts";
import type { Clock } from "../clock/clock.ts";
import { type Doorkeeper, JSON_OPTIONS } from "../http/rpc.ts";
import type { NodeRegistry } from "../nodes/registry.ts";
import { createBusinessRegistryService } from "./businesses.ts";
import { Channels } from "./channels.ts";
import { PushCounters } from "./counters.ts";
import { createDirectoryService } from "./directory.ts";
import { type Apps, Gate } from "./gate.ts";
import { MessageHistory } from "./message-history.ts";
import { MustArrive, type MustArriveOptions } from "./must-arrive.ts";
import { Orders } from "./orders.ts";
import { PartitionOwners, type PartitionOwnersOptions } from "./owners.ts";
import { Pusher } from "./pusher.ts";
import { KeyRateLimit, RateLimit } from "./rate-limit.ts";
import { Resolver } from "./resolver.ts";
import { Rooms } from "./rooms.ts";
import { RouteCache } from "./route-cache.ts";
import { createPushService } from "./service.ts";
import { Unicast } from "./unicast.ts";

const DEFAULT_CALLS_PER_SECOND = 10_000;

export interface PushOptions {
  messages: Messages;
  /** A second connection, for messages of high priority. */
  highMessages: Messages;
  link: Link;
  buckets: {
    /** `hf_route` */
    routes: Bucket;
    /** `hf_user` */
    users: Bucket;
    /** `hf_room` */
    rooms: Bucket;
    /** `hf_business` */
    businesses: Bucket;
  };
  /** To stream HF_ROOM. */
  roomAppender: Appender;
  /** To the log. */
  logAppender: MustArriveOptions["appender"];
  receipts: Receipts;
  mailboxes: MustArriveOptions["mailboxes"];
  /** Who owns each partition. */
  leases: PartitionOwnersOptions["leases"];
  headroom: MustArriveOptions["headroom"];
  apps: Apps;
  nodes: NodeRegistry;
  /** How many partitions the deployment has. */
  partitions: number;
  /** Calls that each app may make in a second. Unset: 10,000. */
  callsPerSecond?: number;
  clock?: Clock;
}

/**
 * The push role: PushService, DirectoryService and BusinessRegistryService. It owns nothing that needs
 * to be closed.
 */
export interface Push {
  routes(router: ConnectRouter): void;
  /** Whose calls are read at all. */
  readonly doorkeeper: Doorkeeper;
  ready(): boolean;
  readonly counters: PushCounters;
}

export function createPush(options: PushOptions): Push {
  const { messages, highMessages, link, buckets, nodes, apps } = options;
  const clock = options.clock === undefined ? {} : { clock: options.clock };
  const counters = new PushCounters();
  const cache = new RouteCache();
  const owners = new PartitionOwners({
    messages,
    partitions: options.partitions,
    leases: options.leases,
    ...clock,
  });
  const resolver = new Resolver({ owners, routes: buckets.routes, users: buckets.users });
  const limit = new RateLimit({
    perSecond: options.callsPerSecond ?? DEFAULT_CALLS_PER_SECOND,
    ...clock,
  });
  const keyLimit = new KeyRateLimit(options.clock);
  const gate = new Gate({ apps, link, limit, keyLimit, counters, ...clock });
  const unicast = new Unicast({ messages, highMessages, resolver, cache, counters, ...clock });
  const channels = new Channels({ appender: options.roomAppender, ...clock });
  const { receipts, mailboxes, headroom, partitions, logAppender: appender } = options;
  const stores = { appender, receipts, mailboxes, headroom };
  const mustArrive = new MustArrive({ ...stores, partitions, ...clock });
  const pusher = new Pusher({ unicast, channels, resolver, cache, mustArrive });

  const pushService = createPushService({ gate, pusher, counters, ...clock });
  const directoryService = createDirectoryService({
    gate,
    resolver,
    owners,
    nodes,
    rooms: new Rooms({ owners, settings: buckets.rooms }),
    orders: new Orders({ messages, resolver }),
    messages: new MessageHistory({ receipts, ...clock }),
  });

  const store = new BusinessStore(buckets.businesses);
  const businessRegistryService = createBusinessRegistryService({ gate, store });

  return {
    counters,
    ready: () => link.connected,
    doorkeeper: ({ requestHeader }) => gate.refuseStrangers(requestHeader),
    routes(router) {
      router.service(PushService, pushService);
      router.service(DirectoryService, directoryService, {
        // A person reading the answer wants to see `"online": false` rather than nothing.
        jsonOptions: { ...JSON_OPTIONS, alwaysEmitImplicit: true },
      });
      router.service(BusinessRegistryService, businessRegistryService, {
        jsonOptions: { ...JSON_OPTIONS, alwaysEmitImplicit: true },
      });
    },
  };
}
