import { createDemo } from "../console/demo.ts";
import { NatsMessages } from "../internal/bus/messages.ts";
import { BusinessStore } from "../internal/businesses/store.ts";
import type { HttpHandler } from "../internal/http/handler.ts";
import { HoldfastError } from "../internal/status/errors.ts";
import { rpcSubject } from "../streams/subjects.ts";
import { openBus } from "./bus.ts";
import { DEMO_APP } from "./demo-app.ts";
import { forRole, type RoleContext } from "./role.ts";

export interface Demo extends AsyncDisposable {
  pages: HttpHandler;
}

/** The demo page, and the chat business behind it. `pushUrl`: of the push API, as "http://127.0.0.1:8090". */
export async function startDemo(parent: RoleContext, pushUrl: string): Promise<Demo> {
  const context = forRole("demo", parent);
  const { devKey } = context.config;
  if (devKey === undefined) {
    throw new HoldfastError("invalid", "the demo needs a key for its app: set HOLDFAST_DEV_KEY");
  }
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("demo", context));
  const { pages, business, answerUplink } = createDemo({ app: DEMO_APP, key: devKey, pushUrl });
  const businesses = new BusinessStore(bus.bucket("hf_business"));
  await businesses.ensure(DEMO_APP, business, { mode: "request" });
  const messages = new NatsMessages(bus.connection);
  const chat = messages.subscribe(
    rpcSubject(DEMO_APP, business),
    (uplink) => void answerUplink(uplink.data).then((answer) => uplink.respond(answer)),
    { queue: business },
  );
  started.defer(() => chat.stop());
  const running = started.move();
  return { pages, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
