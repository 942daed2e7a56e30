/** What only WebSocket has: HTTP, subprotocols, origins, control frames. */
import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { systemClock } from "../../internal/clock/clock.ts";
import { Wheel } from "../../internal/clock/wheel.ts";
import { Admission } from "../../internal/transport/admission.ts";
import { Doorway } from "../../internal/transport/doorway.ts";
import type { Listener, Transport, TransportHandlers } from "../../internal/transport/transport.ts";
import { listenWebSocket } from "../../internal/transport/ws.ts";
import type { ProtocolViolation } from "../../internal/wire/violation.ts";
import { eventually } from "../support/eventually.ts";

class Peer implements TransportHandlers {
  readonly transport: Transport;
  violation: ProtocolViolation | undefined;
  brokenBy: ProtocolViolation | undefined;
  probes = 0;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  received(): void {}
  drained(): void {}
  closed(): void {}

  probed(): void {
    this.probes += 1;
  }

  violated(violation: ProtocolViolation): void {
    this.violation = violation;
    this.transport.close(4200, violation.message);
  }

  broken(violation: ProtocolViolation): void {
    this.brokenBy = violation;
  }
}

const wheel = new Wheel(systemClock, { tickMs: 10 });
const admission = new Admission(systemClock);
const peers: Peer[] = [];
let listener: Listener;

beforeAll(async () => {
  listener = await listen(10_000);
});

function listen(openTimeoutMs: number): Promise<Listener> {
  return listenWebSocket(
    {
      host: "127.0.0.1",
      port: 0,
      reusePort: false,
      tls: undefined,
      maxFrameBytes: 1_000,
      openTimeoutMs,
      closeTimeoutMs: 10_000,
      origins: ["https://shop.example"],
      admission,
      doorway: new Doorway(systemClock, Math.random),
      wheel,
    },
    (transport) => {
      const peer = new Peer(transport);
      peers.push(peer);
      return peer;
    },
  );
}

afterAll(async () => {
  await listener.stop();
  wheel.stop();
});

const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

interface Attempt {
  path?: string;
  subprotocols?: string[];
  origin?: string;
}

/** Opens a WebSocket, or gives the status and text of the refusal. */
function attempt({ path = "/connect", subprotocols = [], origin }: Attempt): Promise<WebSocket> {
  const url = `ws://127.0.0.1:${listener.port}${path}`;
  const socket = new WebSocket(url, subprotocols, { ...(origin && { origin }) });
  return new Promise((resolve, reject) => {
    socket.on("open", () => resolve(socket));
    socket.on("error", reject);
    socket.on("unexpected-response", async (_request, response) => {
      const text = (await response.toArray()).join("");
      reject(new Error(`${response.statusCode} ${text.trim()}`));
    });
  });
}

/** Opens a WebSocket and sends raw bytes on it; gives the server's view and the close code. */
async function afterBytes(hex: string): Promise<{ peer: Peer; code: number }> {
  const count = peers.length;
  const socket = await attempt({ subprotocols: ["holdfast.v1.proto"] });
  const peer = await eventually("accepted", () => peers[count]);
  const code = new Promise<number>((resolve) => socket.on("close", resolve));
  const { _socket: raw } = socket as unknown as { _socket: NodeJS.WritableStream };
  raw.write(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  return { peer, code: await code };
}

describe("the WebSocket upgrade", () => {
  test.each<[string[], "proto" | "json", string]>([
    [["holdfast.v1.proto"], "proto", "holdfast.v1.proto"],
    [["holdfast.v1.json"], "json", "holdfast.v1.json"],
    [["other", "holdfast.v1.proto", "holdfast.v1.json"], "proto", "holdfast.v1.proto"],
    [[], "json", ""],
  ])("with the subprotocols %j talks %s", async (subprotocols, encoding, agreed) => {
    const count = peers.length;
    const socket = await attempt({ subprotocols });
    expect(socket.protocol).toBe(agreed);
    expect((await eventually("accepted", () => peers[count])).transport.encoding).toBe(encoding);
    socket.terminate();
  });

  test("is refused when no subprotocol offered is known, with the names of those that are", async () => {
    await expect(attempt({ subprotocols: ["mqtt", "graphql"] })).rejects.toThrow(
      "400 none of the subprotocols offered is known; known are holdfast.v1.proto, holdfast.v1.json",
    );
  });

  test("is refused on another path", async () => {
    await expect(attempt({ path: "/" })).rejects.toThrow(
      "404 WebSocket clients connect to /connect",
    );
    await expect(attempt({ path: "/connect/x" })).rejects.toThrow("404");
  });

  test("may have a query", async () => {
    (await attempt({ path: "/connect?from=test" })).terminate();
  });

  test("is refused to pages of origins that are not allowed", async () => {
    await expect(attempt({ origin: "https://evil.example" })).rejects.toThrow(
      "403 pages of https://evil.example may not connect",
    );
  });

  test("is granted to pages of allowed origins, and to clients that are no pages", async () => {
    (await attempt({ origin: "https://shop.example" })).terminate();
    (await attempt({})).terminate();
  });

  test.each([
    ["/connect", 426],
    ["/", 404],
    ["/metrics", 404],
  ])("is asked for by a plain request to %s", async (path, status) => {
    const response = await fetch(`http://127.0.0.1:${listener.port}${path}`);
    expect(response.status).toBe(status);
    expect(await response.text()).toContain("/connect");
  });

  test("is refused with headers beyond all measure", async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { cookie: "c".repeat(10_000) };
      const asked = request({ port: listener.port, host: "127.0.0.1", path: "/connect", headers });
      asked.on("response", (response) => resolve(response.statusCode));
      asked.on("error", reject);
      asked.end();
    });
    expect(status).toBe(431);
  });

  test.each([
    ["version 8", 426, "HTTP/1.1", "Host: x\r\nSec-WebSocket-Version: 8"],
    ["no version", 426, "HTTP/1.1", "Host: x"],
    ["HTTP/1.0", 400, "HTTP/1.0", "Host: x\r\nSec-WebSocket-Version: 13"],
    ["no Host", 400, "HTTP/1.1", "Sec-WebSocket-Version: 13"],
    ["no key", 400, "HTTP/1.1", "Host: x\r\nSec-WebSocket-Version: 13", ""],
  ])("is refused with %s", async (_, status, http, headers, key = KEY) => {
    const socket = connect(listener.port, "127.0.0.1");
    socket.write(`GET /connect ${http}\r\n${headers}\r\n${key}${UPGRADE}\r\n`);
    const answer = (await socket.toArray()).join("");
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status === 426) expect(answer).toMatch(/^sec-websocket-version: 13\r$/im);
  });

  test("is cut when its head comes too slowly", async () => {
    await using impatient = await listen(300);
    const socket = connect(impatient.port, "127.0.0.1");
    socket.write("GET /connect HTTP/1.1\r\nHost: x\r\n");
    socket.on("error", () => {});
    socket.resume();
    await new Promise((resolve) => socket.on("close", resolve));
  });
});

describe("a WebSocket peer", () => {
  test("gets one pong for a ping", async () => {
    const count = peers.length;
    const socket = await attempt({});
    const peer = await eventually("accepted", () => peers[count]);
    const pong = new Promise<string>((resolve) => socket.on("pong", (data) => resolve(`${data}`)));
    socket.ping("are you there");
    expect(await pong).toBe("are you there");
    expect(peer.probes).toBe(1);
    socket.terminate();
  });

  test("that sends text where binary was agreed on is told so", async () => {
    const count = peers.length;
    const socket = await attempt({ subprotocols: ["holdfast.v1.proto"] });
    const code = new Promise<number>((resolve) => socket.on("close", resolve));
    socket.send("{}");
    expect(await code).toBe(4200);
    expect(peers[count]?.violation).toMatchObject({
      reason: "bad-protocol",
      message: "a text message where the subprotocol has binary ones",
    });
  });

  test.each([
    ["an unmasked frame", "82 01 00", "bad-protocol", 1002],
    ["a reserved bit", "c2 81 00000000 00", "bad-protocol", 1002],
    ["an opcode that does not exist", "83 80 00000000", "bad-protocol", 1002],
    ["a continuation of nothing", "80 81 00000000 00", "bad-protocol", 1002],
    ["a fragment within a message", "02 81 00000000 00 02 81 00000000 00", "bad-protocol", 1002],
    ["a ping in parts", "09 81 00000000 00", "bad-protocol", 1002],
    ["a ping of 126 bytes", `89 fe 007e 00000000 ${"00".repeat(126)}`, "bad-protocol", 1002],
    ["a Close of one byte", "88 81 00000000 03", "bad-protocol", 1002],
    ["a Close with a code of nobody's", "88 82 00000000 03ed", "bad-protocol", 1002],
    ["a Close whose reason is not UTF-8", "88 83 00000000 03e8ff", "bad-frame", 1007],
    ["a length beyond the limit", "82 fe 03e9", "frame-too-large", 1009],
    ["a length beyond 2^53", "82 ff ffffffffffffffff", "frame-too-large", 1009],
    ["text that is not UTF-8", "81 81 00000000 ff", "bad-frame", 1007],
    [
      "a message in 65 parts",
      `02 81 00000000 00${"00 81 00000000 00".repeat(64)}`,
      "bad-frame",
      1008,
    ],
  ])("that sends %s is closed as RFC 6455 says", async (_, hex, reason, closeCode) => {
    const { peer, code } = await afterBytes(hex);
    expect(code).toBe(closeCode);
    expect(peer.brokenBy?.reason).toBe(reason);
    expect(peer.violation).toBeUndefined();
  });

  test("shows that it lives by a pong, which nothing asked for", async () => {
    const count = peers.length;
    const socket = await attempt({});
    const peer = await eventually("accepted", () => peers[count]);
    socket.pong();
    await eventually("it was counted", () => peer.probes === 1);
    socket.terminate();
  });

  test("that closes with a code of RFC 6455 is not taken for one that breaks it", async () => {
    const { peer } = await afterBytes("88 82 00000000 03ea");
    expect(peer.brokenBy).toBeUndefined();
  });
});
