/** What callers and clients see of a gateway that is asked to stop. */
import { once } from "node:events";
import http2 from "node:http2";
import { expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import { eventually } from "../support/eventually.ts";
import { admit, ready, startGateway } from "../support/gateway.ts";
import { RawWebSocket, textFrame } from "../support/raw-websocket.ts";

test("a client that never answers Close does not keep the API from saying that it goes", async () => {
  await using gateway = await startGateway("all");
  const controlUrl = await gateway.address("control", "http");
  const pushUrl = await gateway.address("push", "http");
  await ready(controlUrl);
  const { token, endpoints } = await admit(controlUrl, "deaf");
  const { url } = endpoints.find(({ protocol }) => protocol === "websocket")!;
  const client = await RawWebSocket.open(new URL(url));
  client.write(textFrame(JSON.stringify({ login: { token } })));
  await eventually("welcome", () => client.messages.length === 1);

  const order: string[] = [];
  client.socket.once("close", () => order.push("the client is cut"));
  const sessions = [controlUrl, pushUrl].map((url) => http2.connect(url));
  await Promise.all(sessions.map((session) => once(session, "remoteSettings")));
  const goneAway = sessions.map(async (session) => {
    await once(session, "goaway");
    order.push("GOAWAY");
  });
  await gateway.stop();
  await Promise.all(goneAway);

  expect(await client.closed()).toBe(CLOSE["going-away"].code);
  expect(order).toEqual(["GOAWAY", "GOAWAY", "the client is cut"]);
  expect(gateway.lines.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  expect(gateway.output.join("\n")).not.toMatch(/declared dead/);
  expect(gateway.child.exitCode).toBe(0);
});
