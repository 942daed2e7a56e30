import { type Result, Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import type { Channel } from "../../streams/subjects.ts";
import type { Channels } from "./channels.ts";
import type { OutgoingMessage } from "./message.ts";
import type { Acceptance, MustArrive } from "./must-arrive.ts";
import type { Resolver } from "./resolver.ts";
import type { RouteCache } from "./route-cache.ts";
import type { Sending, Unicast } from "./unicast.ts";

/** The reason of REFUSED: the broker did not answer, so trying again may help. */
const UNAVAILABLE = "unavailable";

/** Of a user none of whose devices got the message. */
const STATUS_WITHOUT_DEVICES = {
  offline: Status.OFFLINE,
  unknown: Status.UNKNOWN,
  uncertain: Status.REFUSED,
} as const;

export interface PusherOptions {
  unicast: Unicast;
  channels: Channels;
  resolver: Resolver;
  cache: RouteCache;
  mustArrive: MustArrive;
}

/** Pushes to each kind of target. Results are in the order asked; a target named twice gets one message. */
export class Pusher {
  readonly #unicast: Unicast;
  readonly #channels: Channels;
  readonly #resolver: Resolver;
  readonly #cache: RouteCache;
  readonly #mustArrive: MustArrive;

  constructor(options: PusherOptions) {
    this.#unicast = options.unicast;
    this.#channels = options.channels;
    this.#resolver = options.resolver;
    this.#cache = options.cache;
    this.#mustArrive = options.mustArrive;
  }

  async toDevices(
    app: string,
    devices: readonly string[],
    message: OutgoingMessage,
  ): Promise<Sending<Result[]>> {
    const distinct = withoutRepeats(devices);
    const sending = await this.#unicast.send(app, distinct, message);
    return { results: resultsFor(devices, distinct, sending.results) };
  }

  async toUsers(
    app: string,
    users: readonly string[],
    message: OutgoingMessage,
  ): Promise<Sending<Result[]>> {
    const distinct = withoutRepeats(users);
    const whereabouts = await this.#resolver.locateUsers(app, distinct);
    const devices: string[] = [];
    // By device: the index of its user.
    const userOf: number[] = [];
    for (const [user, { online }] of whereabouts.entries()) {
      for (const [device, location] of online) {
        this.#cache.set(app, device, location);
        devices.push(device);
        userOf.push(user);
      }
    }
    const sending = await this.#unicast.send(app, devices, message);
    const perUser = sending.results.then((statuses) => {
      const results = distinct.map((user, i) =>
        result(user, STATUS_WITHOUT_DEVICES[whereabouts[i]?.otherwise ?? "unknown"]),
      );
      for (const [i, status] of statuses.entries()) {
        const own = results[userOf[i] ?? 0];
        if (own !== undefined) addDevice(own, status);
      }
      return results;
    });
    return { results: perUser.then((results) => inOrderOf(users, distinct, results)) };
  }

  mustReachDevices(
    app: string,
    devices: readonly string[],
    message: OutgoingMessage,
    ttlMs: number,
  ): Sending<Result[]> {
    const distinct = withoutRepeats(devices);
    const recipients = distinct.map((device) => ({ device, user: "" }));
    const sending = this.#mustArrive.accept(app, recipients, message, ttlMs);
    const results = sending.results.then((acceptances) => {
      const list = acceptances.map(({ status, reason }, i) => {
        return { ...result(distinct[i] ?? "", status), reason };
      });
      return inOrderOf(devices, distinct, list);
    });
    return { results };
  }

  /** To every device of each user that is online or was seen within the mailbox's lifetime. */
  async mustReachUsers(
    app: string,
    users: readonly string[],
    message: OutgoingMessage,
    ttlMs: number,
  ): Promise<Sending<Result[]>> {
    const distinct = withoutRepeats(users);
    const routes = await this.#resolver.routesOfUsers(app, distinct);
    const recipients = routes.flatMap((known, i) =>
      known.map(({ device }) => ({ device, user: distinct[i] ?? "" })),
    );
    const sending = this.#mustArrive.accept(app, recipients, message, ttlMs);
    const results = sending.results.then((acceptances) => {
      const byUser = new Map<string, Acceptance[]>(distinct.map((user) => [user, []]));
      for (const [i, acceptance] of acceptances.entries()) {
        byUser.get(recipients[i]?.user ?? "")?.push(acceptance);
      }
      const list = distinct.map((user) => userResult(user, byUser.get(user) ?? []));
      return inOrderOf(users, distinct, list);
    });
    return { results };
  }

  toChannels(
    kind: "room" | "zone",
    app: string,
    ids: readonly string[],
    message: OutgoingMessage,
  ): Sending<Result[]> {
    const distinct = withoutRepeats(ids);
    const sending = this.#channels.send(
      distinct.map((id): Channel => ({ kind, app, id })),
      message,
    );
    return { results: resultsFor(ids, distinct, sending.results) };
  }

  /** The one result names the app as its target. */
  toEveryone(app: string, message: OutgoingMessage): Sending<Result[]> {
    const sending = this.#channels.send([{ kind: "all", app }], message);
    return { results: resultsFor([app], [app], sending.results) };
  }
}

function withoutRepeats(ids: readonly string[]): readonly string[] {
  const distinct = new Set(ids);
  return distinct.size === ids.length ? ids : [...distinct];
}

async function resultsFor(
  asked: readonly string[],
  distinct: readonly string[],
  statuses: Promise<Status[]>,
): Promise<Result[]> {
  const results = (await statuses).map((status, i) => result(distinct[i] ?? "", status));
  return inOrderOf(asked, distinct, results);
}

function inOrderOf(
  asked: readonly string[],
  distinct: readonly string[],
  results: Result[],
): Result[] {
  if (asked === distinct) return results;
  const byTarget = new Map(results.map((one) => [one.target, one]));
  return asked.map((target) => byTarget.get(target) ?? result(target, Status.UNKNOWN));
}

function result(target: string, status: Status): Result {
  const reason = status === Status.REFUSED ? UNAVAILABLE : "";
  return { $typeName: "holdfast.push.v1.Result", target, status, reason, devices: 0 };
}

/** Accepted for one device makes it accepted; a device that refused it shows in the reason. */
function userResult(user: string, acceptances: readonly Acceptance[]): Result {
  const accepted = acceptances.filter(({ status }) => status === Status.ACCEPTED).length;
  const refused = acceptances.find(({ status }) => status === Status.REFUSED);
  const status =
    accepted > 0
      ? Status.ACCEPTED
      : (refused ?? acceptances[0] ?? { status: Status.UNKNOWN }).status;
  return { ...result(user, status), reason: refused?.reason ?? "", devices: accepted };
}

/** One device that got the message makes it sent, whatever became of the others. */
function addDevice(user: Result, status: Status): void {
  if (status === Status.SENT) {
    user.status = Status.SENT;
    user.reason = "";
    user.devices++;
  } else if (status === Status.REFUSED && user.status !== Status.SENT) {
    user.status = Status.REFUSED;
    user.reason = UNAVAILABLE;
  }
}
