/** What every transport promises, tried over each of them. */
import { connect } from "node:net";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../internal/clock/clock.ts";
import { Wheel } from "../../internal/clock/wheel.ts";
import type { SilentEnd } from "../../internal/status/close.ts";
import { Admission, type AdmissionLimits } from "../../internal/transport/admission.ts";
import { Doorway, type DoorwayLimits } from "../../internal/transport/doorway.ts";
import { listenTcp } from "../../internal/transport/tcp.ts";
import type { Listener, Transport, TransportHandlers } from "../../internal/transport/transport.ts";
import { listenWebSocket } from "../../internal/transport/ws.ts";
import { SharedFrame } from "../../internal/wire/shared-frame.ts";
import type { ProtocolViolation } from "../../internal/wire/violation.ts";
import { LeftSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { connectClient, type TestClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { TEST_TLS } from "../support/tls.ts";

interface Kind {
  name: string;
  protocol: "websocket" | "tcp";
  encoding: "proto" | "json";
  tls: boolean;
}

const KINDS: Kind[] = [
  { name: "WebSocket with JSON", protocol: "websocket", encoding: "json", tls: false },
  { name: "WebSocket with protobuf", protocol: "websocket", encoding: "proto", tls: false },
  { name: "WebSocket with TLS", protocol: "websocket", encoding: "proto", tls: true },
  { name: "TCP", protocol: "tcp", encoding: "proto", tls: false },
  { name: "TCP with TLS", protocol: "tcp", encoding: "proto", tls: true },
];

const MAX_FRAME = 1_000;

/** Long enough for a busy machine, where a test does not wait for the end of it. */
const PATIENT = { openTimeoutMs: 10_000, closeTimeoutMs: 10_000 };
const IMPATIENT = { openTimeoutMs: 300, closeTimeoutMs: 300 };

/** The server's end of one connection, and everything that happened on it. */
class Peer implements TransportHandlers {
  readonly transport: Transport;
  readonly frames: string[] = [];
  readonly violations: ProtocolViolation[] = [];
  readonly ends: SilentEnd[] = [];
  probes = 0;
  drains = 0;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  received(data: Uint8Array): void {
    this.frames.push(Buffer.from(data).toString("latin1"));
  }

  probed(): void {
    this.probes += 1;
  }

  violated(violation: ProtocolViolation): void {
    this.violations.push(violation);
    this.transport.close(4200, violation.message);
  }

  broken(violation: ProtocolViolation): void {
    this.violations.push(violation);
  }

  drained(): void {
    this.drains += 1;
  }

  closed(end: SilentEnd): void {
    this.ends.push(end);
  }
}

const left = (room: string) =>
  SharedFrame.of({ case: "left", value: create(LeftSchema, { room }) });

describe.each(KINDS)("a connection over $name", ({ protocol, encoding, tls }) => {
  let wheel: Wheel;
  let admission: Admission;
  let doorway: Doorway;
  let listener: Listener;
  let peers: Peer[];
  let clients: TestClient[];

  const address = { host: "127.0.0.1", port: 0, reusePort: false };

  async function listen(
    limits: Partial<AdmissionLimits> = {},
    patience = PATIENT,
    door: DoorwayLimits = {},
  ): Promise<void> {
    wheel = new Wheel(systemClock, { tickMs: 10 });
    admission = new Admission(systemClock, limits);
    doorway = new Doorway(systemClock, Math.random, door);
    peers = [];
    clients = [];
    listener = await listenAt(address, patience);
  }

  function listenAt(where: typeof address, patience = PATIENT): Promise<Listener> {
    const options = {
      ...where,
      ...patience,
      tls: tls ? TEST_TLS : undefined,
      maxFrameBytes: MAX_FRAME,
      origins: [],
      admission,
      doorway,
      wheel,
      goodbye: (afterMs: number) => left(afterMs > 0 ? "later" : "now").bytes("tcp"),
    };
    const accept = (transport: Transport) => {
      const peer = new Peer(transport);
      peers.push(peer);
      return peer;
    };
    return (protocol === "tcp" ? listenTcp : listenWebSocket)(options, accept);
  }

  async function open(): Promise<{ client: TestClient; peer: Peer }> {
    const count = peers.length;
    const client = await connectClient({ url: listener.url, encoding });
    clients.push(client);
    const peer = await eventually("the connection is accepted", () => peers[count]);
    return { client, peer };
  }

  const ended = (peer: Peer) => eventually("the end is told", () => peer.ends[0]);

  beforeEach(() => listen());

  afterEach(async () => {
    for (const client of clients) client.abort();
    await listener.stop();
    await eventually("no connection is left", () => admission.connections === 0);
    wheel.stop();
  });

  test("has a URL that names the real port, an encoding and an address", async () => {
    const scheme = { websocket: tls ? "wss" : "ws", tcp: tls ? "tls" : "tcp" }[protocol];
    expect(new URL(listener.url).protocol).toBe(`${scheme}:`);
    expect(listener.port).toBeGreaterThan(0);
    const { peer } = await open();
    expect(peer.transport).toMatchObject({ protocol, encoding, address: "127.0.0.1" });
  });

  test("carries frames in, whole and in order", async () => {
    const { client, peer } = await open();
    const sent = Array.from({ length: 50 }, (_, i) => `frame ${i}`);
    for (const frame of sent) client.sendRaw(encoding === "json" ? frame : Buffer.from(frame));
    await eventually("all have come", () => peer.frames.length === sent.length);
    expect(peer.frames).toEqual(sent);
  });

  test("carries frames out, whole and in order, sent in one turn or in several", async () => {
    const { client, peer } = await open();
    const rooms = Array.from({ length: 300 }, (_, i) => `${i} ${"x".repeat(i)}`);
    for (const [i, room] of rooms.entries()) {
      peer.transport.send(left(room));
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    for (const room of rooms) expect((await client.next("left")).room).toBe(room);
  });

  test("carries a frame larger than any buffer on the way", async () => {
    const { client, peer } = await open();
    const room = "x".repeat(3_000_000);
    peer.transport.send(left(room));
    expect((await client.next("left")).room).toBe(room);
  });

  test("takes a frame of the greatest length", async () => {
    const { client, peer } = await open();
    const frame = "x".repeat(MAX_FRAME);
    client.sendRaw(encoding === "json" ? frame : Buffer.from(frame));
    await eventually("it has come", () => peer.frames.length === 1);
    expect(peer.frames[0]).toBe(frame);
  });

  test("does not take a longer one, nor anything after it", async () => {
    const { client, peer } = await open();
    const frame = "x".repeat(MAX_FRAME + 1);
    client.sendRaw(encoding === "json" ? frame : Buffer.from(frame));
    client.sendRaw(encoding === "json" ? "y" : Buffer.from("y"));
    const end = await client.ended;
    expect(peer.violations.map(({ reason }) => reason)).toEqual(["frame-too-large"]);
    expect(peer.frames).toEqual([]);
    if (protocol === "websocket") expect(end.code).toBe(1009);
  });

  test("is ended by the node after everything sent, with a code where there are codes", async () => {
    const { client, peer } = await open();
    peer.transport.send(left("a"));
    peer.transport.send(left("b"));
    peer.transport.close(4000, "bye");
    peer.transport.send(left("c"));
    const { code } = await client.ended;
    expect(code).toBe(protocol === "websocket" ? 4000 : undefined);
    expect(client.queue.map((body) => body.case)).toEqual(["left", "left"]);
    await ended(peer);
  });

  test("is ended by the client, and the node is told", async () => {
    const { client, peer } = await open();
    await client.close();
    expect(await ended(peer)).toBe("client-closed");
  });

  test("is cut by the node at once", async () => {
    const { client, peer } = await open();
    peer.transport.abort();
    await client.ended;
    await ended(peer);
  });

  test("is cut by the client, and the node is told", async () => {
    const { client, peer } = await open();
    client.abort();
    await ended(peer);
  });

  test("tells its end once, whatever comes together", async () => {
    const { client, peer } = await open();
    peer.transport.close(4000, "bye");
    peer.transport.close(4001, "bye again");
    client.abort();
    peer.transport.abort();
    await ended(peer);
    await new Promise(setImmediate);
    expect(peer.ends).toHaveLength(1);
  });

  test("is cut when the peer does not end it in its turn", async () => {
    await listener.stop();
    await listen({}, IMPATIENT);
    const { client, peer } = await open();
    client.pause();
    peer.transport.send(left("x".repeat(10_000_000)));
    peer.transport.close(4000, "bye");
    await ended(peer);
  });

  test("says when the peer does not keep up, how much waits, and when it has caught up", async () => {
    const { client, peer } = await open();
    const { transport } = peer;
    expect(transport.writable).toBe(true);
    expect(transport.buffered).toBe(0);
    client.pause();
    const frame = left("x".repeat(500_000));
    let sent = 0;
    await eventually("the peer is behind", async () => {
      transport.send(frame);
      sent += 1;
      await new Promise(setImmediate);
      return !transport.writable && transport.buffered > 1_000_000;
    });
    const before = peer.drains;
    client.resume();
    for (; sent > 0; sent -= 1) await client.next("left");
    await eventually("it has caught up", () => peer.drains > before);
    expect(transport.writable).toBe(true);
    expect(transport.buffered).toBe(0);
  });

  test("is not made beyond the limit of connections, and again when one has ended", async () => {
    await listener.stop();
    await listen({ maxConnections: 1 });
    const { client } = await open();
    await expect(refusal()).resolves.toBeDefined();
    expect(admission.refused).toBe(1);
    await client.close();
    await eventually("it is counted out", () => admission.connections === 0);
    await open();
  });

  test("is not made beyond the limit of one address", async () => {
    await listener.stop();
    await listen({ maxConnectionsPerAddress: 2 });
    await open();
    await open();
    await expect(refusal()).resolves.toBeDefined();
  });

  /** Connects, and gives how that failed, be it at once or right after. */
  async function refusal(): Promise<unknown> {
    try {
      const client = await connectClient({ url: listener.url, encoding });
      clients.push(client);
      return await client.ended;
    } catch (error) {
      return error;
    }
  }

  test("waits outside while too many are coming in, and is made when there is room", async () => {
    await listener.stop();
    await listen({}, PATIENT, { coming: 1 });
    const { client } = await open();
    const waiting = connectClient({ url: listener.url, encoding });
    await eventually("it is parked", () => doorway.parked === 1);
    expect(peers).toHaveLength(1);
    doorway.through();
    const second = await waiting;
    clients.push(second);
    const peer = await eventually("it is let in", () => peers[1]);
    second.sendRaw(encoding === "json" ? "hello" : Buffer.from("hello"));
    await eventually("it is read", () => peer.frames.length === 1);
    doorway.throughLeaving();
    await client.close();
    await second.close();
    await eventually("nobody is coming in any more", () => doorway.coming === 0);
  });

  test("is turned away when it has waited too long, or others have come", async () => {
    await listener.stop();
    await listen({}, PATIENT, { coming: 0, parking: { most: 1, longestMs: 0 } });
    const first = refusal();
    await eventually("it is parked", () => doorway.parked === 1);
    const second = refusal();
    expect(String(await first)).toMatch(protocol === "websocket" && !tls ? /503/ : /./);
    expect(doorway.parked).toBe(1);
    doorway.sample({ logAgeMs: 0, ownersLagMs: 0 });
    await second;
    expect(doorway.turnedAway).toBe(2);
    expect(peers).toEqual([]);
  });

  test("is turned away with the time to come back where that can be told before it is read", async () => {
    await listener.stop();
    await listen({}, PATIENT, { coming: 0, parking: { most: 0, longestMs: 0 } });
    const socket = connect(listener.port, "127.0.0.1");
    let said = "";
    socket.on("data", (data) => {
      said += data.toString("latin1");
    });
    socket.on("error", () => {});
    // As much as a client sends before it reads anything.
    socket.write("x".repeat(10_000));
    await new Promise((ended) => socket.once("close", ended));
    if (tls) expect(said).toBe("");
    else if (protocol === "tcp") expect(said).toContain("later");
    else expect(said).toMatch(/^HTTP\/1\.1 503 .*retry-after: [1-9]/s);
  });

  test("is not made once the listener has stopped, and those that are stay", async () => {
    const { client, peer } = await open();
    await listener.stop();
    await listener.stop();
    await expect(connectClient({ url: listener.url, encoding })).rejects.toThrow();
    peer.transport.send(left("still here"));
    await client.next("left");
  });

  test("may come to any of several listeners that share a port", async () => {
    await using first = await listenAt({ ...address, reusePort: true });
    const shared = { ...address, port: first.port, reusePort: true };
    await using second = await listenAt(shared);
    expect(second.port).toBe(first.port);
    await expect(listenAt({ ...shared, reusePort: false })).rejects.toMatchObject({
      code: "conflict",
      message: `127.0.0.1:${first.port} is in use`,
    });
  });

  test("does not stay when its opening comes to nothing", async () => {
    if (protocol === "tcp" && !tls) return; // open at once: the login deadline is the session's
    await listener.stop();
    await listen({}, IMPATIENT);
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => {});
    await eventually("it is counted", () => admission.connections === 1);
    await eventually("it is cut", () => admission.connections === 0);
    expect(peers).toEqual([]);
  });
});
