/**
 * An echo server in each of the three ways a business may be given its uplinks:
 *
 *     node examples/04_uplink_echo_server.ts stream
 *     node examples/04_uplink_echo_server.ts request
 *     node examples/04_uplink_echo_server.ts rpc
 *
 * Start one as often as you like: the instances share the work (of rpc, behind one URL).
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { openBusiness, type UplinkHandler, uplinkListener } from "../sdk/node-business.ts";
import { app, key, natsUrl, pushUrl } from "./settings.ts";

const mode = process.argv[2] ?? "request";
const echo = await openBusiness({ app, business: `echo_${mode}`, natsUrl, pushUrl, key });

const answer: UplinkHandler = ({ text = "" }) => ({ text: `echo: ${text}` });

switch (mode) {
  case "stream":
    // Stored before the client has its acknowledgement; nobody waits, so the answer is a push.
    await echo.register({ mode: "stream" });
    await echo.onUplink(async ({ device, text, requestId }) => {
      const metadata = { request: requestId };
      await echo.push.toDevices([device], { text: `echo: ${text}`, metadata });
      return undefined;
    });
    break;
  case "request":
    await echo.register({ mode: "request" });
    await echo.onUplink(answer);
    break;
  case "rpc": {
    const server = createServer(uplinkListener(answer));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    await echo.register({ mode: "rpc", url: `http://127.0.0.1:${port}` });
    break;
  }
  default:
    throw new Error(`mode ${mode}: must be stream, request or rpc`);
}
console.log(`echo_${mode} is ready`);
