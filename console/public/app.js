/** The demo page: one tab is one device. Everything it knows of the gateway it has from the SDK. */
import { connect, webSocket } from "/sdk.js";
import { getConfig } from "./api.js";
import { Chat } from "./chat.js";
import { DeviceList } from "./devices.js";
import { byId, el } from "./dom.js";
import { FrameLog } from "./frames.js";
import { identity } from "./identity.js";
import { PushForm } from "./push-form.js";

/** The device has connected again elsewhere: docs/PROTOCOL.md. */
const REPLACED = 4210;

const config = await getConfig();
const frames = new FrameLog();
const chat = new Chat(config.lobby, () => identity.device);
const pushForm = new PushForm(config, identity);
const devices = new DeviceList(
  () => identity.device,
  ({ device }) => pushForm.aimAt(device),
);

/** The present link, so that a button can break it. @type {import("/sdk.js").Link | undefined} */
let link;
/** @type {import("/sdk.js").Transport} */
const breakable = {
  accepts: webSocket.accepts,
  open(url, subprotocol, receiver) {
    link = webSocket.open(url, subprotocol, receiver);
    return link;
  },
};

/** @type {import("/sdk.js").HoldfastClient} */
let client;
/** The rooms this device is in. @type {Map<string, import("/sdk.js").Room>} */
const rooms = new Map();

function start() {
  byId("app-name", HTMLElement).textContent = config.app;
  byId("device-id", HTMLElement).textContent = identity.device;
  byId("user-name", HTMLInputElement).value = identity.user;
  const { app } = config;
  const { device, user } = identity;
  const started = connect({ admit: location.origin, app, device, user, transports: [breakable] });
  client = started;
  client.on("status", showStatus);
  client.on("frame", (frame) => frames.add(frame));
  client.on("message", (message) => chat.receive(message));
  client.on("heartbeat", ({ rttMs, intervalMs }) => {
    byId("rtt", HTMLElement).textContent = `${Math.round(rttMs)} ms`;
    byId("heartbeat", HTMLElement).textContent = `every ${Math.round(intervalMs / 1000)} s`;
    showConnection(started.status);
  });
  client.on("error", (error) => chat.note(config.lobby, `${error}`));
  for (const room of new Set([config.lobby, ...identity.rooms])) void join(room);
}

/** @param {string} name */
async function join(name) {
  const joining = client;
  try {
    const room = await joining.join(name);
    rooms.set(name, room);
    chat.open(name);
    room.on("joined", ({ recovered }) => {
      const missed = recovered ? "nothing was missed" : "messages may have been missed";
      chat.note(name, `back in the room, ${missed}`);
    });
    identity.rooms = chat.rooms;
    void devices.refresh();
    return true;
  } catch (error) {
    // A client that was closed meanwhile has said so elsewhere.
    if (joining.status.state !== "closed") chat.note(config.lobby, `${name}: ${error}`);
    return false;
  }
}

/** @param {import("/sdk.js").Status} status */
function showStatus(status) {
  const pill = byId("status", HTMLElement);
  pill.dataset.state = status.state;
  pill.textContent =
    status.state === "waiting"
      ? `reconnecting in ${(status.delayMs / 1000).toFixed(1)} s`
      : status.state;
  showConnection(status);
  const notice = byId("notice", HTMLElement);
  notice.hidden = status.state !== "closed";
  if (status.state === "closed") notice.replaceChildren(...closedNotice(status.cause));
  void devices.refresh();
}

/** @param {import("/sdk.js").Status} status */
function showConnection(status) {
  const online = status.state === "online" ? status : undefined;
  byId("connection-id", HTMLElement).textContent = online?.connectionId ?? "–";
  byId("node", HTMLElement).textContent = online?.node ?? "–";
}

/** @param {import("/sdk.js").HoldfastSdkError} cause */
function closedNotice(cause) {
  const replaced = cause.closeCode === REPLACED;
  const again = el("button", "quiet small", replaced ? "Connect here instead" : "Connect again");
  again.addEventListener("click", start);
  const text = replaced
    ? "This device is connected in another tab; a device has one connection."
    : `Closed: ${cause.message}`;
  if (!replaced) return [text, again];
  const other = el("button", "quiet small", "Become another device");
  other.addEventListener("click", () => {
    identity.becomeAnotherDevice();
    start();
  });
  return [text, again, other];
}

byId("identity", HTMLFormElement).addEventListener("submit", async (event) => {
  event.preventDefault();
  identity.user = byId("user-name", HTMLInputElement).value.trim() || identity.user;
  // The user is part of the token, so this is a new login.
  await client.close();
  start();
});

byId("join", HTMLFormElement).addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("room-name", HTMLInputElement);
  const name = input.value.trim();
  input.value = "";
  if (name !== "" && (await join(name))) chat.choose(name);
});

byId("leave", HTMLButtonElement).addEventListener("click", async () => {
  const { room: name = "" } = chat;
  await rooms.get(name)?.leave();
  rooms.delete(name);
  chat.close(name);
  identity.rooms = chat.rooms;
});

byId("say", HTMLFormElement).addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = byId("line", HTMLInputElement);
  const { room } = chat;
  const text = input.value.trim();
  if (room === undefined || text === "") return;
  input.value = "";
  try {
    await client.business("chat").request({ text, metadata: { room } });
  } catch (error) {
    chat.note(room, `not sent: ${text} (${error})`);
  }
});

byId("break", HTMLButtonElement).addEventListener("click", () => link?.close());

start();
chat.choose(config.lobby);
