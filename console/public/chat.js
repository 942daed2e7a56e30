import { byId, clockTime, el, initials } from "./dom.js";

/** Messages to this device, its user or everyone, rather than to a room. */
const DIRECT = "\u0000direct";
const MOST = 300;

/** @typedef {{ lines: HTMLElement[], unread: number }} Tab */

/** The rooms as tabs, and the lines of the chosen one. */
export class Chat {
  #tabs = byId("rooms", HTMLElement);
  #list = byId("messages", HTMLOListElement);
  /** @type {Map<string, Tab>} */
  #rooms = new Map();
  #lobby;
  #chosen;
  #ownDevice;

  /**
   * @param {string} lobby
   * @param {() => string} ownDevice
   */
  constructor(lobby, ownDevice) {
    this.#ownDevice = ownDevice;
    this.#lobby = lobby;
    this.#chosen = lobby;
    this.open(lobby);
    this.open(DIRECT);
  }

  /** The room that lines go to. */
  get room() {
    return this.#chosen === DIRECT ? undefined : this.#chosen;
  }

  get rooms() {
    return [...this.#rooms.keys()].filter((name) => name !== DIRECT);
  }

  /** @param {string} room */
  open(room) {
    if (!this.#rooms.has(room)) this.#rooms.set(room, { lines: [], unread: 0 });
    this.#drawTabs();
  }

  /** @param {string} room */
  close(room) {
    this.#rooms.delete(room);
    this.choose(this.#lobby);
  }

  /** @param {string} room */
  choose(room) {
    this.#chosen = room;
    const tab = this.#rooms.get(room);
    if (tab !== undefined) tab.unread = 0;
    this.#list.replaceChildren(...(tab?.lines ?? []));
    this.#toEnd();
    this.#drawTabs();
    const line = byId("line", HTMLInputElement);
    line.disabled = room === DIRECT;
    line.placeholder =
      room === DIRECT ? "Pushes to this device appear here" : `Say something in ${room}`;
    byId("leave", HTMLButtonElement).hidden = room === DIRECT || room === this.#lobby;
  }

  /** @param {import("/sdk.js").Message} message */
  receive({ room = DIRECT, text, metadata, priority, sentAt }) {
    const from = metadata.from ?? "";
    const own = from === this.#ownDevice();
    const name = from === "" ? "Business server" : metadata.user || from;
    const notes = [clockTime(sentAt ?? new Date())];
    if (from === "") notes.push("pushed");
    if (priority !== "normal") notes.push(`${priority} priority`);
    const className = `message${own ? " own" : ""}${from === "" ? " pushed" : ""}`;
    this.#add(
      room,
      el(
        "li",
        className,
        el("span", "avatar", from === "" ? "⇣" : initials(name)),
        el("span", "meta", el("b", "", name), el("span", "hint", notes.join(" · "))),
        el("span", "text", text ?? "(bytes)"),
      ),
    );
  }

  /**
   * Something that happened, between the lines.
   *
   * @param {string} room
   * @param {string} what
   */
  note(room, what) {
    this.#add(room, el("li", "event", what), false);
  }

  /**
   * @param {string} room
   * @param {HTMLElement} line
   */
  #add(room, line, counts = true) {
    this.open(room);
    const tab = this.#rooms.get(room);
    if (tab === undefined) return;
    tab.lines.push(line);
    if (tab.lines.length > MOST) tab.lines.shift()?.remove();
    if (room === this.#chosen) {
      const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 60;
      this.#list.append(line);
      if (atEnd) this.#toEnd();
    } else if (counts) {
      tab.unread += 1;
      this.#drawTabs();
    }
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #drawTabs() {
    this.#tabs.replaceChildren(
      ...[...this.#rooms].map(([room, { unread }]) => {
        const button = el("button", "tab", room === DIRECT ? "Direct" : `# ${room}`);
        if (unread > 0) button.append(" ", el("span", "unread", String(unread)));
        button.type = "button";
        button.setAttribute("role", "tab");
        button.setAttribute("aria-selected", String(room === this.#chosen));
        button.addEventListener("click", () => this.choose(room));
        return button;
      }),
    );
  }
}
