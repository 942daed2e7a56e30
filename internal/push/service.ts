import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  Delivery,
  type PushService,
  type PushStreamRequest,
  type Result,
  type Status,
  StatusSchema,
} from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { DEFAULT_TTL_MS } from "../../streams/layout.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { PushCounters } from "./counters.ts";
import type { About, Gate } from "./gate.ts";
import { type OutgoingMessage, outgoing } from "./message.ts";
import type { Pusher } from "./pusher.ts";
import type { Sending } from "./unicast.ts";

/** Pushes of one stream whose nodes have not all answered. */
const STREAM_WINDOW = 64;

export interface PushServiceOptions {
  gate: Gate;
  pusher: Pusher;
  counters: PushCounters;
  clock?: Clock;
}

/** Any of the five requests, with the kind of its targets. */
type Push = Exclude<PushStreamRequest["push"], { case: undefined }>;

interface Begun extends Sending<Result[]> {
  readonly messageId: string;
}

export function createPushService(options: PushServiceOptions): ServiceImpl<typeof PushService> {
  const { gate, pusher, counters, clock = systemClock } = options;

  const begin = async (push: Push): Promise<Begun> => {
    const message = outgoingOf(push.value, clock.now());
    const { results } = await start(pusher, push, message);
    const counted = results.then((list) => {
      for (const { status } of list) counters.target(status);
      return list;
    });
    return { messageId: message.id, results: counted };
  };

  const unary = async (push: Push, context: HandlerContext) => {
    gate.enter(push.value.app, context, aboutOf(push));
    const { messageId, results } = await begin(push);
    return { messageId, results: await results };
  };

  return {
    pushToDevices: (value, context) => unary({ case: "devices", value }, context),
    pushToUsers: (value, context) => unary({ case: "users", value }, context),
    pushToRooms: (value, context) => unary({ case: "rooms", value }, context),
    pushToZones: (value, context) => unary({ case: "zones", value }, context),
    broadcast: (value, context) => unary({ case: "broadcast", value }, context),

    async pushStream(requests, context) {
      const totals = new Totals();
      for await (const { push } of requests) {
        if (push.case === undefined) throw new HoldfastError("invalid", "push: must be set");
        await gate.enterInStream(push.value.app, context, aboutOf(push));
        // The next one begins when this one is on its way, so a device gets them in their order.
        await totals.add(await begin(push));
      }
      return totals.finish();
    },
  };
}

/** What the scope of a key is about. */
function aboutOf(push: Push): About {
  return { business: push.value.message?.business, targets: targetsOf(push) };
}

/** Undefined for everybody. */
function targetsOf(push: Push): readonly string[] | undefined {
  switch (push.case) {
    case "devices":
      return push.value.devices;
    case "users":
      return push.value.users;
    case "rooms":
      return push.value.rooms;
    case "zones":
      return push.value.zones;
    case "broadcast":
      return undefined;
  }
}

function outgoingOf(push: Push["value"], sentAtMs: number): OutgoingMessage {
  if (push.message === undefined) throw new HoldfastError("invalid", "message: value is required");
  return outgoing(push.message, push.options, sentAtMs);
}

async function start(
  pusher: Pusher,
  { case: kind, value }: Push,
  message: OutgoingMessage,
): Promise<Sending<Result[]>> {
  const mustArrive = value.options?.delivery === Delivery.MUST_ARRIVE;
  if (mustArrive && kind !== "devices" && kind !== "users") {
    throw new HoldfastError(
      "invalid",
      "options.delivery: MUST_ARRIVE reaches devices and users; rooms, zones and everyone get BEST_EFFORT",
    );
  }
  const { ttlSeconds } = value.options ?? {};
  const ttlMs = ttlSeconds === undefined ? DEFAULT_TTL_MS : ttlSeconds * 1_000;
  switch (kind) {
    case "devices":
      return mustArrive
        ? pusher.mustReachDevices(value.app, value.devices, message, ttlMs)
        : pusher.toDevices(value.app, value.devices, message);
    case "users":
      return mustArrive
        ? pusher.mustReachUsers(value.app, value.users, message, ttlMs)
        : pusher.toUsers(value.app, value.users, message);
    case "rooms":
      return pusher.toChannels("room", value.app, value.rooms, message);
    case "zones":
      return pusher.toChannels("zone", value.app, value.zones, message);
    case "broadcast":
      return pusher.toEveryone(value.app, message);
  }
}

/** Adds up the results of a stream's pushes, some of which are still under way. */
class Totals {
  #received = 0n;
  readonly #statuses: Record<string, bigint> = {};
  readonly #underWay = new Set<Promise<void>>();
  #failure: { reason: unknown } | undefined;

  /** Resolves when there is room for another. */
  async add({ results }: Begun): Promise<void> {
    this.#received++;
    const counted = results
      .then(
        (list) => this.#count(list),
        (reason) => {
          this.#failure ??= { reason };
        },
      )
      .then(() => {
        this.#underWay.delete(counted);
      });
    this.#underWay.add(counted);
    if (this.#underWay.size >= STREAM_WINDOW) await Promise.race(this.#underWay);
    this.#throwFailure();
  }

  async finish() {
    await Promise.all(this.#underWay);
    this.#throwFailure();
    return { received: this.#received, statuses: this.#statuses };
  }

  #count(results: readonly Result[]): void {
    for (const { status } of results) {
      const name = nameOf(status);
      this.#statuses[name] = (this.#statuses[name] ?? 0n) + 1n;
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.reason;
  }
}

function nameOf(status: Status): string {
  return StatusSchema.value[status]?.name ?? String(status);
}
