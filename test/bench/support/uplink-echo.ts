/** A business server that gives back what it gets, and counts it. */
import { openBusiness } from "../../../sdk/node-business.ts";
import { answerParent } from "./child.ts";

export type UplinkEcho = {
  serve: {
    ask: { business: string; mode: "stream" | "request"; natsUrl: string; pushUrl: string };
    answer: null;
  };
  handled: { ask: null; answer: { count: number } };
};

let count = 0;

answerParent<UplinkEcho>({
  async serve({ business, mode, natsUrl, pushUrl }) {
    const server = await openBusiness({ app: "demo", business, key: "k", natsUrl, pushUrl });
    // A machine that is short of CPU should show in the times, not as BUSY.
    await server.register({ mode, concurrency: 5_000, queue: 50_000 });
    await server.onUplink(({ data = new Uint8Array() }) => {
      count += 1;
      return { data };
    });
    return null;
  },
  handled: () => ({ count }),
});
