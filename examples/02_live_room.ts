/** A live room: a viewer's line goes up to the business, which sends it to everybody in the room. */
import { connect } from "../sdk/index.ts";
import { openBusiness } from "../sdk/node-business.ts";
import { app, controlUrl, key, natsUrl, pushUrl } from "./settings.ts";

const ROOM = "match-42";

// The business server knows who may speak and what; the gateway only carries it.
await using danmaku = await openBusiness({ app, business: "danmaku", natsUrl, pushUrl, key });
await danmaku.register({ mode: "request" });
await danmaku.onUplink(async ({ user, text = "" }) => {
  if (text.length > 100) return { refused: "at most 100 characters" };
  await danmaku.push.toRooms([ROOM], { text, metadata: { from: user } });
  return undefined;
});

// Three viewers, each with a connection of its own.
const viewers = await Promise.all(
  ["ann", "ben", "cho"].map(async (user) => {
    const client = connect({ admit: controlUrl, app, device: `${user}-tv`, user });
    const seen = new Promise<string>((done) => {
      client.business("danmaku").on("message", ({ text, metadata }) => {
        done(`${user} sees: ${metadata.from}: ${text}`);
      });
    });
    await client.join(ROOM);
    return { client, seen };
  }),
);

await viewers[0]?.client.business("danmaku").send({ text: "what a goal!" });
for (const { seen } of viewers) console.log(await seen);
for (const { client } of viewers) client.close();
