import { push } from "./api.js";
import { byId } from "./dom.js";

/** @typedef {"device" | "user" | "room" | "all"} Kind */

/** What each kind of target is called, here and in the push API. */
const KINDS = {
  device: { label: "Device", method: "PushToDevices", field: "devices" },
  user: { label: "User", method: "PushToUsers", field: "users" },
  room: { label: "Room", method: "PushToRooms", field: "rooms" },
  all: { label: "Everyone", method: "Broadcast", field: "" },
};

/** Pushes as a business server would, and shows the call and its answer. */
export class PushForm {
  #form = byId("push", HTMLFormElement);
  #target = byId("target", HTMLInputElement);
  #text = byId("push-text", HTMLTextAreaElement);
  #priority = byId("priority", HTMLSelectElement);
  #curl = byId("curl", HTMLPreElement);
  #config;
  /** The target last typed or chosen, by kind. */
  #targets;

  /**
   * @param {import("./api.js").Config} config
   * @param {{ device: string, user: string }} identity
   */
  constructor(config, identity) {
    this.#config = config;
    /** @type {Record<Kind, string>} */
    this.#targets = { device: identity.device, user: identity.user, room: config.lobby, all: "" };
    this.#form.addEventListener("input", (event) => {
      if (event.target === this.#target) this.#targets[this.#kind] = this.#target.value;
      this.#show();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    byId("copy", HTMLButtonElement).addEventListener("click", (event) => void this.#copy(event));
    this.#show();
  }

  /** @param {string} device */
  aimAt(device) {
    this.#targets.device = device;
    const radio = this.#form.querySelector('input[value="device"]');
    if (radio instanceof HTMLInputElement) radio.checked = true;
    this.#show();
    this.#text.focus();
    this.#text.select();
  }

  /** @returns {Kind} */
  get #kind() {
    const kind = String(new FormData(this.#form).get("kind"));
    return kind === "user" || kind === "room" || kind === "all" ? kind : "device";
  }

  #show() {
    const kind = this.#kind;
    byId("target-field", HTMLElement).hidden = kind === "all";
    byId("target-label", HTMLLabelElement).textContent = KINDS[kind].label;
    if (this.#target.value !== this.#targets[kind]) this.#target.value = this.#targets[kind];
    this.#target.required = kind !== "all";
    if (kind === "device") this.#target.setAttribute("list", "targets");
    else this.#target.removeAttribute("list");
    this.#curl.textContent = this.#asCurl(kind);
  }

  /** @param {Kind} kind */
  #asCurl(kind) {
    const { method, field } = KINDS[kind];
    const body = {
      app: this.#config.app,
      ...(field === "" ? {} : { [field]: [this.#targets[kind]] }),
      message: { business: "chat", text: this.#text.value },
      ...(this.#priority.value === "NORMAL" ? {} : { options: { priority: this.#priority.value } }),
    };
    const data = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
    return [
      `curl ${this.#config.pushUrl}/holdfast.push.v1.PushService/${method} \\`,
      `  -H "Authorization: Bearer $HOLDFAST_DEV_KEY" \\`,
      `  -H "Content-Type: application/json" \\`,
      `  -d '${data}'`,
    ].join("\n");
  }

  async #submit() {
    const kind = this.#kind;
    const result = byId("result", HTMLPreElement);
    const took = byId("took", HTMLElement);
    const startedAt = performance.now();
    const target = kind === "all" ? { all: true } : { [kind]: this.#targets[kind] };
    try {
      const answer = await push({
        ...target,
        text: this.#text.value,
        priority: this.#priority.value,
      });
      delete result.dataset.failed;
      result.textContent = JSON.stringify(answer, null, 2);
    } catch (error) {
      result.dataset.failed = "";
      result.textContent = error instanceof Error ? error.message : String(error);
    }
    took.textContent = `${Math.round(performance.now() - startedAt)} ms`;
    byId("result-block", HTMLElement).hidden = false;
  }

  /** @param {Event} event */
  async #copy({ currentTarget }) {
    if (!(currentTarget instanceof HTMLButtonElement)) return;
    try {
      await navigator.clipboard.writeText(this.#curl.textContent ?? "");
      currentTarget.textContent = "Copied";
    } catch {
      // No leave to use the clipboard: mark the text, so that one key copies it.
      getSelection()?.selectAllChildren(this.#curl);
      currentTarget.textContent = "Marked";
    }
    setTimeout(() => {
      currentTarget.textContent = "Copy";
    }, 1_500);
  }
}
