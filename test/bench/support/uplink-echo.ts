/** A business server that gives back what it gets, and counts it. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { openBusiness, type UplinkHandler, uplinkListener } from "../../../sdk/node-business.ts";
import { answerParent } from "./child.ts";

export type UplinkEcho = {
  serve: {
    ask: {
      business: string;
      mode: "stream" | "request" | "rpc";
      natsUrl: string;
      pushUrl: string;
      /** Bounds at each node; unset: so wide that a machine short of CPU shows in the times, not as BUSY. */
      bounds?: { concurrency: number; queue: number };
    };
    answer: null;
  };
  handled: { ask: null; answer: { count: number } };
};

const WIDE = { concurrency: 5_000, queue: 50_000 };

let count = 0;

const echo: UplinkHandler = ({ data = new Uint8Array() }) => {
  count += 1;
  return { data };
};

answerParent<UplinkEcho>({
  async serve({ business, mode, natsUrl, pushUrl, bounds = WIDE }) {
    const server = await openBusiness({ app: "demo", business, key: "k", natsUrl, pushUrl });
    if (mode === "rpc") {
      await server.register({ mode, url: await listen(), ...bounds });
    } else {
      await server.register({ mode, ...bounds });
      await server.onUplink(echo);
    }
    return null;
  },
  handled: () => ({ count }),
});

async function listen(): Promise<string> {
  const server = createServer(uplinkListener(echo)).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
