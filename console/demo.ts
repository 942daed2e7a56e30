import { createDemoApi } from "./demo-api.ts";
import { answerChatLine, CHAT } from "./demo-chat.ts";
import { createDemoClients } from "./demo-clients.ts";
import { consolePages } from "./site.ts";

export interface DemoOptions {
  /** An app with open admission: the page's devices ask for admission themselves. */
  app: string;
  /** The app's API key. Stays in this process. */
  key: string;
  /** The push role, as "http://127.0.0.1:8090". */
  pushUrl: string;
}

export interface Demo {
  /** For whatever is neither an RPC nor health, on the port of the control role. */
  pages: ReturnType<typeof consolePages>;
  /** The business whose uplinks `answerUplink` takes. */
  business: string;
  /** Answers the bytes that travel on `hf.rpc.<app>.<business>`. Never rejects. */
  answerUplink(request: Uint8Array): Promise<Uint8Array>;
}

/** The demo page and its chat business. Nothing of it is needed to run the gateway. */
export function createDemo({ app, key, pushUrl }: DemoOptions): Demo {
  const clients = createDemoClients(pushUrl, key);
  return {
    pages: consolePages(createDemoApi({ app, pushUrl, ...clients })),
    business: CHAT,
    answerUplink: (request) => answerChatLine(request, clients.push),
  };
}
