/** A list of who is online, kept by a business server from the connection-state subjects. */
import { connect } from "../sdk/index.ts";
import { openBusiness } from "../sdk/node-business.ts";
import { app, online as connected, controlUrl, key, natsUrl, pushUrl } from "./settings.ts";

await using friends = await openBusiness({ app, business: "friends", natsUrl, pushUrl, key });

/** The connection that each user is online with. */
const online = new Map<string, string>();
const changed = new EventTarget();

// Each instance keeps a list of its own, so each is given every event, the past ones first.
await friends.onState(
  ({ event, user, connection }) => {
    if (event === "online") online.set(user, connection);
    // Of a connection that was replaced, the newer one may have come before.
    else if (online.get(user) === connection) online.delete(user);
    changed.dispatchEvent(new Event("change"));
  },
  { everyInstance: true },
);

async function shows(expected: string): Promise<void> {
  for (;;) {
    const now = [...online.keys()].sort().join(" and ") || "nobody";
    if (now === expected) break;
    await new Promise((done) => changed.addEventListener("change", done, { once: true }));
  }
  console.log("online:", expected);
}

// Two of them come. They name the business, so its server hears of them and of nobody else.
const [dan, eve] = ["dan", "eve"].map((user) => {
  const client = connect({ admit: controlUrl, app, device: `${user}-phone`, user });
  client.business("friends");
  return client;
});
await Promise.all([dan, eve].map((client) => client && connected(client)));
await shows("dan and eve");
dan?.close();
await shows("eve");
eve?.close();
await shows("nobody");
