/** Order notices that must arrive: also to a device that is away, once, in their order. */
import { connect } from "../sdk/index.ts";
import { openBusiness } from "../sdk/node-business.ts";
import { app, controlUrl, key, online, pushUrl } from "./settings.ts";

const NOTICES = ["paid", "packed", "shipped"];
const device = { admit: controlUrl, app, device: "fay-phone", user: "fay" };

// The device has been here before, so the gateway knows it.
const before = connect(device);
await online(before);
await before.close();

// It is away while the notices are sent; ACCEPTED means that the gateway has them for it.
await using orders = await openBusiness({ app, business: "orders", pushUrl, key });
for (const text of NOTICES) {
  const [result] = await orders.push.toDevices(
    ["fay-phone"],
    { text },
    { mustArriveSeconds: 3600 },
  );
  console.log(`${text}: ${result?.status}`);
}

// It comes back, and is given what it has missed.
const client = connect(device);
const received: string[] = [];
const all = new Promise<void>((done) => {
  client.business("orders").on("message", ({ text = "" }) => {
    received.push(text);
    if (received.length === NOTICES.length) done();
  });
});
await all;
console.log("received:", received.join(", "));
await client.close();
