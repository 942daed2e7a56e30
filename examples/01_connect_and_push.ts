/** A device connects; its business server pushes to it. */
import { connect } from "../sdk/index.ts";
import { openBusiness } from "../sdk/node-business.ts";
import { app, controlUrl, key, online, pushUrl } from "./settings.ts";

// The device.
const client = connect({ admit: controlUrl, app, device: "alice-phone", user: "alice" });
const received = new Promise<string | undefined>((done) => {
  client.business("greetings").on("message", ({ text }) => done(text));
});
await online(client);

// The business server: anywhere, with the app's API key.
await using server = await openBusiness({ app, business: "greetings", pushUrl, key });
const results = await server.push.toUsers(["alice"], { text: "hello, alice" });

console.log("pushed:", results[0]?.status);
console.log("received:", await received);
client.close();
