import { getDevices } from "./api.js";
import { byId, el, initials } from "./dom.js";

const EVERY_MS = 2_000;

/** Who has the page open, asked from the directory again and again while somebody looks. */
export class DeviceList {
  #list = byId("devices", HTMLUListElement);
  #count = byId("device-count", HTMLElement);
  #ownDevice;
  #choose;
  #shown = "";
  /** @type {number | undefined} */
  #timer;

  /**
   * @param {() => string} ownDevice
   * @param {(device: import("./api.js").Device) => void} choose
   */
  constructor(ownDevice, choose) {
    this.#ownDevice = ownDevice;
    this.#choose = choose;
    document.addEventListener("visibilitychange", () => void this.refresh());
  }

  async refresh() {
    clearTimeout(this.#timer);
    if (document.visibilityState === "hidden") return;
    try {
      this.#show(await getDevices());
    } catch (error) {
      this.#shown = "";
      this.#list.replaceChildren(el("li", "event", `The directory does not answer: ${error}`));
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), EVERY_MS);
  }

  /** @param {import("./api.js").Device[]} devices */
  #show(devices) {
    const own = this.#ownDevice();
    const sorted = devices.sort(
      (a, b) => Number(b.device === own) - Number(a.device === own) || a.user.localeCompare(b.user),
    );
    this.#count.textContent = String(sorted.length);
    // Nothing moves under the pointer or the keyboard's focus unless something has changed.
    const shown = JSON.stringify([own, sorted]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#list.replaceChildren(...sorted.map((device) => this.#row(device, device.device === own)));
    byId("targets", HTMLDataListElement).replaceChildren(
      ...sorted.map(({ device, user }) => new Option(user, device)),
    );
  }

  /**
   * @param {import("./api.js").Device} device
   * @param {boolean} own
   */
  #row(device, own) {
    const name = device.user || device.device;
    const button = el(
      "button",
      "device",
      el("span", "avatar", initials(name)),
      el("span", "who", name, ...(own ? [el("small", "", "this tab")] : [])),
      el("span", "where mono", `${device.device} · ${device.node}`),
    );
    button.type = "button";
    button.title = `Push to ${device.device}\nconnection ${device.connectionId}`;
    button.addEventListener("click", () => this.#choose(device));
    return el("li", "", button);
  }
}
