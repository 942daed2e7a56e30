/** Asks each of the echo servers of 04_uplink_echo_server.ts, over one connection. */
import { connect } from "../sdk/index.ts";
import { app, controlUrl, online } from "./settings.ts";

const client = connect({ admit: controlUrl, app, device: "bob-laptop", user: "bob" });

const stream = client.business("echo_stream");
const pushed = new Promise<string | undefined>((done) => {
  stream.on("message", ({ text }) => done(text));
});
await online(client);

await stream.send({ text: "by stream" });
console.log(await pushed);
console.log((await client.business("echo_request").request({ text: "by request" })).text);
console.log((await client.business("echo_rpc").request({ text: "by rpc" })).text);
client.close();
