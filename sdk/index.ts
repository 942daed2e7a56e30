/**
 * The client SDK: a connection to the gateway that is kept, shared by the businesses of an app.
 *
 *     const client = connect({ admit: "https://control.example", app: "demo", device: "phone-1" });
 *     const chat = client.business("chat");
 *     chat.on("message", (message) => show(message.text));
 *     await chat.send({ text: "hi" });
 *
 * Runs in browsers and in Node 22 or newer; node-tcp.ts adds TCP for Node.
 */
import { HoldfastClient } from "./client.ts";
import { type ConnectOptions, resolveOptions } from "./options.ts";
import { platformSurroundings } from "./surroundings.ts";

/**
 * Starts to connect, and keeps connecting until `close` or until the gateway says to stay away.
 * Throws HoldfastSdkError `invalid` when an option breaks a rule.
 */
export function connect(options: ConnectOptions): HoldfastClient {
  return new HoldfastClient(resolveOptions(options), platformSurroundings);
}

export type { ClientInfo } from "./admission.ts";
export type { Backoff } from "./backoff.ts";
export type { Business, BusinessEvents } from "./business.ts";
export type { ClientEvents, HoldfastClient } from "./client.ts";
export { type DeliveryStore, localStorageDeliveries } from "./delivery-store.ts";
export type { Handler } from "./emitter.ts";
export type { Encoding } from "./encoding.ts";
export { HoldfastSdkError, type SdkErrorCode, type UplinkFailure } from "./error.ts";
export { indexedDbDeliveries } from "./indexed-db.ts";
export { jsonEncoding } from "./json-encoding.ts";
export type { Message, Payload } from "./message.ts";
export type { ConnectOptions, OpenAdmissionOptions, OwnAdmissionOptions } from "./options.ts";
export { localStoragePositions, type PositionStore } from "./positions.ts";
export type { Outgoing, UplinkOptions } from "./requests.ts";
export type { Gap, Room, RoomEvents } from "./room.ts";
export type { Status } from "./status.ts";
export type { Link, LinkReceiver, Transport } from "./transport.ts";
export { webSocket } from "./websocket.ts";
