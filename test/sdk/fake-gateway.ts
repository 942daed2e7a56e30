/**
 * Access nodes and Admit as a client sees them, on real sockets: they answer as the protocol says,
 * unless a test tells them otherwise, and remember every frame they were sent.
 */
import { createServer as createHttpServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import {
  create,
  fromBinary,
  fromJsonString,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { type WebSocket, WebSocketServer } from "ws";
import {
  type ClientFrame,
  ClientFrameSchema,
  ServerFrameSchema,
  UplinkStatus,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { FrameSplitter } from "../../sdk/node-tcp.ts";
import { eventually } from "../support/eventually.ts";

export type ServerBody = NonNullable<MessageInitShape<typeof ServerFrameSchema>["body"]>;
export type ClientBody = ClientFrame["body"];
type ClientCase = NonNullable<ClientBody["case"]>;
type ClientValue<C extends ClientCase> = Extract<ClientBody, { case: C }>["value"];

/** What a fake node does with a frame instead of the usual. Undefined: the usual. */
export type Behaviour = (connection: FakeConnection, body: ClientBody) => "handled" | undefined;

interface Wire {
  readonly protocol: string;
  send(data: Uint8Array | string): void;
  close(code: number): void;
  cut(): void;
}

/** One connection, seen from the node. */
export class FakeConnection {
  readonly id: string;
  readonly node: FakeNode;
  readonly received: ClientBody[] = [];
  ended = false;
  readonly #wire: Wire;

  constructor(node: FakeNode, id: string, wire: Wire) {
    this.node = node;
    this.id = id;
    this.#wire = wire;
  }

  get protocol(): string {
    return this.#wire.protocol;
  }

  send(body: ServerBody): void {
    const frame = create(ServerFrameSchema, { body });
    const json = this.protocol === "holdfast.v1.json";
    this.sendRaw(
      json ? toJsonString(ServerFrameSchema, frame) : toBinary(ServerFrameSchema, frame),
    );
  }

  sendRaw(data: Uint8Array | string): void {
    this.#wire.send(data);
  }

  /** A Close frame, then the end with the same code. */
  close(code: number, reason = "", reconnect?: { afterMs?: number; endpoints?: string[] }): void {
    this.send({ case: "close", value: { code, reason, ...(reconnect && { reconnect }) } });
    this.#wire.close(code);
  }

  /** The end without a word. */
  cut(): void {
    this.#wire.cut();
  }

  of<C extends ClientCase>(kind: C): ClientValue<C>[] {
    return this.received.flatMap((body) =>
      body.case === kind ? [body.value as ClientValue<C>] : [],
    );
  }

  /** The first frame of this kind; waits for it. */
  first<C extends ClientCase>(kind: C): Promise<ClientValue<C>> {
    return this.nth(kind, 1);
  }

  /** The nth, from 1. */
  async nth<C extends ClientCase>(kind: C, n: number): Promise<ClientValue<C>> {
    await eventually(`${n} ${kind} frames`, () => this.of(kind).length >= n);
    return this.of(kind)[n - 1]!;
  }
}

export interface FakeNodeOptions {
  name?: string;
  transport?: "websocket" | "tcp";
  behaviour?: Behaviour;
  heartbeatSeconds?: number;
}

export class FakeNode {
  readonly name: string;
  readonly connections: FakeConnection[] = [];
  behaviour: Behaviour | undefined;
  readonly url: string;
  readonly #heartbeatSeconds: number;
  readonly #stop: () => Promise<void>;

  private constructor(url: string, options: FakeNodeOptions, stop: () => Promise<void>) {
    this.url = url;
    this.name = options.name ?? "node-a";
    this.behaviour = options.behaviour;
    this.#heartbeatSeconds = options.heartbeatSeconds ?? 30;
    this.#stop = stop;
  }

  static async start(options: FakeNodeOptions = {}): Promise<FakeNode> {
    if (options.transport === "tcp")
      return startTcp((url, stop) => new FakeNode(url, options, stop));
    return startWebSocket((url, stop) => new FakeNode(url, options, stop));
  }

  /** The nth connection, from 1; waits until it has logged in. */
  async connection(n: number): Promise<FakeConnection> {
    const connection = await eventually(`connection ${n}`, () => this.connections[n - 1]);
    await connection.first("login");
    return connection;
  }

  accept(wire: Wire): FakeConnection {
    const connection = new FakeConnection(
      this,
      `${this.name}.${this.connections.length + 1}`,
      wire,
    );
    this.connections.push(connection);
    return connection;
  }

  receive(connection: FakeConnection, data: Uint8Array | string): void {
    const { body } =
      typeof data === "string"
        ? fromJsonString(ClientFrameSchema, data)
        : fromBinary(ClientFrameSchema, data);
    connection.received.push(body);
    if (this.behaviour?.(connection, body) !== "handled") this.#answer(connection, body);
  }

  welcome(connection: FakeConnection, resumed = false): void {
    connection.send({
      case: "welcome",
      value: {
        connectionId: connection.id,
        node: this.name,
        heartbeatSeconds: this.#heartbeatSeconds,
        resumed,
        limits: { maxFrameBytes: 65_536, maxRooms: 100, idleSeconds: this.#heartbeatSeconds * 3 },
      },
    });
  }

  #answer(connection: FakeConnection, body: ClientBody): void {
    switch (body.case) {
      case "login": {
        const { resume } = body.value;
        this.welcome(connection, resume !== undefined);
        for (const { room, position } of resume?.rooms ?? []) {
          connection.send({ case: "joined", value: { room, position, recovered: true } });
        }
        return;
      }
      case "ping":
        connection.send({ case: "pong", value: {} });
        return;
      case "join": {
        const { room, position } = body.value;
        connection.send({ case: "joined", value: { room, position, recovered: position > 0n } });
        return;
      }
      case "leave":
        connection.send({ case: "left", value: { room: body.value.room } });
        return;
      case "uplink": {
        const { requestId, wantReply, payload } = body.value;
        connection.send({ case: "uplinkAck", value: { requestId, status: UplinkStatus.OK } });
        if (!wantReply) return;
        connection.send({
          case: "uplinkReply",
          value: { requestId, status: UplinkStatus.OK, payload },
        });
        return;
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop();
  }
}

type MakeNode = (url: string, stop: () => Promise<void>) => FakeNode;

async function startWebSocket(make: MakeNode): Promise<FakeNode> {
  const server = createHttpServer();
  const sockets = new WebSocketServer({
    server,
    path: "/connect",
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  const port = await listen(server);
  const node = make(`ws://127.0.0.1:${port}/connect`, async () => {
    for (const socket of sockets.clients) socket.terminate();
    await new Promise((done) => server.close(done));
  });
  sockets.on("connection", (socket: WebSocket) => {
    const connection = node.accept({
      protocol: socket.protocol,
      send: (data) => socket.send(data),
      close: (code) => socket.close(code),
      cut: () => socket.terminate(),
    });
    socket.on("message", (data: Buffer, binary) =>
      node.receive(connection, binary ? data : data.toString()),
    );
    socket.on("close", () => {
      connection.ended = true;
    });
  });
  return node;
}

async function startTcp(make: MakeNode): Promise<FakeNode> {
  const open = new Set<Socket>();
  const server = createTcpServer();
  const port = await listen(server);
  const node = make(`tcp://127.0.0.1:${port}`, async () => {
    for (const socket of open) socket.destroy();
    await new Promise((done) => server.close(done));
  });
  server.on("connection", (socket) => {
    open.add(socket);
    const frames = new FrameSplitter();
    let preface = Buffer.alloc(0);
    const connection = node.accept({
      protocol: "tcp",
      send: (data) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(data.length);
        socket.write(Buffer.concat([length, Buffer.from(data)]));
      },
      close: () => socket.end(),
      cut: () => socket.destroy(),
    });
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      let rest = chunk;
      if (preface.length < 4) {
        preface = Buffer.concat([preface, chunk]);
        if (preface.length < 4) return;
        if (preface.toString("latin1", 0, 4) !== "HFD1") socket.destroy();
        rest = preface.subarray(4);
      }
      for (const frame of frames.push(rest)) node.receive(connection, frame);
    });
    socket.on("close", () => {
      connection.ended = true;
      open.delete(socket);
    });
  });
  return node;
}

interface Answer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
}

/** Admit over HTTP, the endpoints being whichever nodes it is given. */
export class FakeControl {
  /** The requests, as JSON. */
  readonly requests: unknown[] = [];
  nodes: readonly { url: string }[];
  tokenSeconds = 600;
  /** The turn that devices are given. */
  afterMs = 0;
  /** Answers instead of the usual, in order. */
  readonly failures: Answer[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server, port: number, nodes: readonly { url: string }[]) {
    this.#server = server;
    this.nodes = nodes;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(...nodes: { url: string }[]): Promise<FakeControl> {
    const server = createHttpServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const { status, body, headers } = control.#admit(Buffer.concat(chunks).toString());
      response
        .writeHead(status, { "content-type": "application/json", ...headers })
        .end(JSON.stringify(body));
    });
    const control = new FakeControl(server, await listen(server), nodes);
    return control;
  }

  #admit(body: string): Answer {
    this.requests.push(JSON.parse(body));
    const failure = this.failures.shift();
    if (failure !== undefined) return failure;
    return {
      status: 200,
      body: {
        token: `token-${this.requests.length}`,
        expiresAt: new Date(Date.now() + this.tokenSeconds * 1000).toISOString(),
        endpoints: this.nodes.map(({ url }) => ({
          url,
          protocol: url.startsWith("ws") ? "websocket" : "tcp",
          weight: 100,
        })),
        ...(this.afterMs > 0 && { afterMs: this.afterMs }),
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}

async function listen(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): AddressInfo | string | null;
}): Promise<number> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP address");
  return address.port;
}
