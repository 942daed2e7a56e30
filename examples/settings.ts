import type { HoldfastClient } from "../sdk/index.ts";

/** Where the gateway is: what `npm start` prints, with `HOLDFAST_DEV_KEY=k npm start` as the key. */
const { env } = process;

export const app = "demo";
export const key = env.HOLDFAST_DEV_KEY ?? "k";
export const controlUrl = env.HOLDFAST_CONTROL_URL ?? "http://127.0.0.1:8080";
export const pushUrl = env.HOLDFAST_PUSH_URL ?? "http://127.0.0.1:8090";
/** Only businesses that take stored uplinks or requests, or follow who is online, need it. */
export const natsUrl = env.HOLDFAST_NATS_URL ?? "nats://127.0.0.1:4222";

/** Resolves when the client is connected. */
export function online(client: HoldfastClient): Promise<void> {
  return new Promise((done) => {
    client.on("status", ({ state }) => {
      if (state === "online") done();
    });
    if (client.status.state === "online") done();
  });
}
