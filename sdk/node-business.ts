/**
 * For business servers on Node: take what clients send, know who is online, push.
 *
 *     await using shop = await openBusiness({ app: "demo", business: "shop", natsUrl, pushUrl, key });
 *     await shop.register({ mode: "request" });
 *     await shop.onUplink(async (uplink) => ({ text: `you said ${uplink.text}` }));
 *     await shop.onState(async ({ device, event }) => console.log(device, event));
 *     await shop.push.toDevices(["phone-1"], { text: "hello" });
 *
 * Any number of instances of a server share the work. docs/BUSINESS.md says how to do the same in
 * another language.
 */
import { readFile } from "node:fs/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import {
  connect,
  credsAuthenticator,
  headers,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
  type Subscription,
} from "@nats-io/transport-node";
import {
  HandleUplinkRequestSchema,
  type HandleUplinkResponse,
  HandleUplinkResponseSchema,
} from "../proto/gen/holdfast/business/v1/business_pb.ts";
import {
  Business_Mode,
  Business_Protocol,
  BusinessRegistryService,
} from "../proto/gen/holdfast/business/v1/registry_pb.ts";
import { StreamConsumer } from "./node-business-consumer.ts";
import { Pusher } from "./node-business-push.ts";
import { SeenEvents } from "./node-business-seen.ts";
import {
  inboxPrefix,
  requestSubject,
  STATE_STREAM,
  type StateScope,
  stateConsumer,
  stateFilter,
  storedConsumer,
  storedSubject,
  TAKEN_HEADER,
  token,
  UPLINK_STREAM,
} from "./node-business-subjects.ts";
import { TurnEnd } from "./node-business-turn.ts";
import { responseOf, type UplinkHandler, uplinkOf } from "./node-business-uplinks.ts";

export type { PushMessage, PushOptions, PushResult } from "./node-business-push.ts";
export type { StateScope } from "./node-business-subjects.ts";
export {
  type Uplink,
  type UplinkAnswer,
  type UplinkHandler,
  uplinkListener,
} from "./node-business-uplinks.ts";

export interface BusinessServerOptions {
  app: string;
  business: string;
  /** The push API, such as "http://127.0.0.1:8090". */
  pushUrl: string;
  /** API key of the app. */
  key: string;
  /** The gateway's NATS, such as "nats://127.0.0.1:4222". Unset: for servers that only push or are called. */
  natsUrl?: string;
  /** Of NATS, as `holdfast nats-config` has made them. What a URL says of a user is not used by NATS clients for JavaScript. */
  natsUser?: string;
  natsPassword?: string;
  /** A file of NATS credentials (JWT and seed), in place of user and password. */
  natsCreds?: string;
  /**
   * Where NATS sends the answers to this server. Unset: `_INBOX_<app>.<business>`, the only one that the
   * user of a business may listen to.
   */
  natsInboxPrefix?: string;
  /**
   * Tells this instance from the others: "1" to "8". For `everyInstance` with the NATS user of a business, whose
   * consumers have fixed names.
   */
  instance?: string;
  /** What went wrong and is tried again. Unset: written to standard error. */
  failed?: (error: unknown) => void;
}

export interface StateEvent {
  readonly event: "online" | "offline" | "enter" | "leave";
  /** The same only for the same event. */
  readonly id: string;
  readonly device: string;
  readonly user: string;
  readonly connection: string;
  readonly node: string;
  readonly platform: string;
  readonly room: string;
  /** Why it went offline: a close reason, or "node-down". */
  readonly reason: string;
  /** Unix ms. */
  readonly at: number;
  readonly durationMs: number;
  /** Increases per device. */
  readonly sequence: number;
}

export interface Registration {
  mode: "stream" | "request" | "rpc";
  /** Of mode `rpc`. */
  url?: string;
  grpc?: boolean;
  ordered?: boolean;
  timeoutMs?: number;
  /** Uplinks under way at once, for each access node, and how many more may wait. */
  concurrency?: number;
  queue?: number;
}

const MODES = {
  stream: Business_Mode.STREAM,
  request: Business_Mode.REQUEST,
  rpc: Business_Mode.RPC,
};
const ACK_WAIT_MS = 10_000;
const STORED_UNDER_WAY = 256;
/** An answer that takes longer is announced, so that the client knows that its uplink has arrived. */
const TAKEN_AFTER_MS = 50;

/** @throws when NATS cannot be reached, or a server of it refuses the credentials. */
export async function openBusiness(options: BusinessServerOptions): Promise<BusinessServer> {
  const nc = options.natsUrl === undefined ? undefined : await connect(await natsOptions(options));
  return new BusinessServer(options, nc);
}

async function natsOptions(options: BusinessServerOptions): Promise<NodeConnectionOptions> {
  const { natsUrl = "", natsUser, natsPassword, natsCreds, app, business } = options;
  return {
    servers: natsUrl,
    name: `business ${app} ${business}`,
    inboxPrefix: options.natsInboxPrefix ?? inboxPrefix(app, business),
    maxReconnectAttempts: -1,
    ...(natsUser !== undefined && { user: natsUser }),
    ...(natsPassword !== undefined && { pass: natsPassword }),
    ...(natsCreds !== undefined && {
      authenticator: credsAuthenticator(await readFile(natsCreds)),
    }),
  };
}

export class BusinessServer implements AsyncDisposable {
  readonly push: Pusher;
  readonly #options: BusinessServerOptions;
  readonly #nc: NatsConnection | undefined;
  readonly #registry;
  readonly #consumers: StreamConsumer[] = [];
  readonly #subscriptions: Subscription[] = [];
  readonly #answering = new Set<Promise<void>>();
  readonly #turnEnd = new TurnEnd((error) => this.#failed(error));

  constructor(options: BusinessServerOptions, nc: NatsConnection | undefined) {
    const { app, business, pushUrl, key } = options;
    const authorize: Interceptor = (next) => (request) => {
      request.header.set("Authorization", `Bearer ${key}`);
      return next(request);
    };
    const interceptors = [authorize];
    const transport = createConnectTransport({ baseUrl: pushUrl, httpVersion: "2", interceptors });
    this.#options = options;
    this.#nc = nc;
    this.push = new Pusher(transport, app, business);
    this.#registry = createClient(BusinessRegistryService, transport);
  }

  /** Says how the business wants its uplinks. Replaces what was registered before. */
  async register(registration: Registration): Promise<void> {
    const { app, business } = this.#options;
    const { mode, url = "", grpc, ordered = false, timeoutMs, concurrency, queue } = registration;
    await this.#registry.setBusiness({
      app,
      business: {
        business,
        mode: MODES[mode],
        url,
        protocol: grpc ? Business_Protocol.GRPC : Business_Protocol.CONNECT,
        ordered,
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(concurrency !== undefined && { concurrency }),
        ...(queue !== undefined && { queue }),
      },
    });
  }

  /**
   * Takes uplinks, in the way the business is registered for. Of mode `stream`, one whose handler
   * throws comes again, and the business pushes what it has to say; of mode `request` it is refused.
   */
  async onUplink(handler: UplinkHandler): Promise<void> {
    const { app, business } = this.#options;
    const { business: registered } = await this.#registry.getBusiness({ app, business });
    switch (registered?.mode) {
      case Business_Mode.STREAM:
        return this.#consumeUplinks(handler);
      case Business_Mode.REQUEST:
        return this.#answerRequests(handler);
      default:
        throw new TypeError(`business ${business} is called by RPC: serve uplinkListener(handler)`);
    }
  }

  /**
   * Follows who comes and goes. By default the instances of the server share the events, one at a time
   * and so in order; with `everyInstance`, each instance is given all of them, from 24 hours ago on.
   * An event that comes again is left out, if this instance has handled it, or a later one of its device.
   */
  async onState(
    handler: (event: StateEvent) => Promise<void> | void,
    options: { scope?: StateScope; everyInstance?: boolean } = {},
  ): Promise<void> {
    const { app, business, instance } = this.#options;
    const { scope = "business", everyInstance = false } = options;
    const seen = new SeenEvents();
    await this.#consume({
      stream: STATE_STREAM,
      subject: stateFilter(app, business, scope),
      durable: everyInstance ? undefined : stateConsumer(app, business, scope),
      own: instance && stateConsumer(app, business, scope, instance),
      underWay: everyInstance ? STORED_UNDER_WAY : 1,
      ackWaitMs: ACK_WAIT_MS,
      failed: (error) => this.#failed(error),
      handle: async (message) => {
        const event = message.json<StateEvent>();
        if (seen.isRepeat(event)) return;
        await handler(event);
        seen.add(event);
      },
    });
  }

  /** Finishes what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer[Symbol.asyncDispose]()));
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain()));
    await Promise.all(this.#answering);
    this.#turnEnd.flush();
    await this.#nc?.drain();
  }

  async #consumeUplinks(handler: UplinkHandler): Promise<void> {
    const { app, business } = this.#options;
    await this.#consume({
      stream: UPLINK_STREAM,
      subject: storedSubject(app, business),
      durable: storedConsumer(app, business),
      underWay: STORED_UNDER_WAY,
      ackWaitMs: ACK_WAIT_MS,
      failed: (error) => this.#failed(error),
      handle: async (message) => {
        await handler(uplinkOf(fromBinary(HandleUplinkRequestSchema, message.data)));
      },
    });
  }

  async #answerRequests(handler: UplinkHandler): Promise<void> {
    const { app, business } = this.#options;
    const nc = this.#broker();
    const callback = (error: Error | null, message: Msg) => {
      if (error) {
        this.#failed(error);
        return;
      }
      const answering = this.#answer(message, handler);
      this.#answering.add(answering);
      void answering.then(() => this.#answering.delete(answering));
    };
    const subject = requestSubject(app, business);
    this.#subscriptions.push(nc.subscribe(subject, { queue: token(business), callback }));
    // From here on the server has the subscription.
    await nc.flush();
  }

  /** Never rejects. */
  async #answer(message: Msg, handler: UplinkHandler): Promise<void> {
    const taken = setTimeout(() => {
      const said = headers();
      said.set(TAKEN_HEADER, "1");
      message.respond(undefined, { headers: said });
    }, TAKEN_AFTER_MS);
    let response: HandleUplinkResponse;
    try {
      response = await responseOf(handler, fromBinary(HandleUplinkRequestSchema, message.data));
    } catch (error) {
      this.#failed(error);
      response = create(HandleUplinkResponseSchema, { refused: "the business has failed" });
    }
    clearTimeout(taken);
    const answer = toBinary(HandleUplinkResponseSchema, response);
    this.#turnEnd.send(() => message.respond(answer));
  }

  async #consume(options: ConstructorParameters<typeof StreamConsumer>[1]): Promise<void> {
    const consumer = new StreamConsumer(this.#broker(), options);
    await consumer.start();
    this.#consumers.push(consumer);
  }

  #broker(): NatsConnection {
    if (this.#nc === undefined) throw new TypeError("natsUrl: must be set for this");
    return this.#nc;
  }

  #failed(error: unknown): void {
    const { failed, business } = this.#options;
    if (failed === undefined) process.stderr.write(`business ${business}: ${String(error)}\n`);
    else failed(error);
  }
}
