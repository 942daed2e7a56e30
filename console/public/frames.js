import { byId, clockTime, el } from "./dom.js";

const MOST = 200;
const BEATS = new Set(["ping", "pong"]);

/** The live log of frames, newest first. */
export class FrameLog {
  #list = byId("frames", HTMLOListElement);
  #totals = byId("frame-totals", HTMLElement);
  #paused = false;
  #counts = { in: 0, out: 0, bytes: 0 };

  constructor() {
    const pause = byId("pause", HTMLButtonElement);
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.setAttribute("aria-pressed", String(this.#paused));
      pause.textContent = this.#paused ? "Resume" : "Pause";
    });
    byId("clear", HTMLButtonElement).addEventListener("click", () => this.#list.replaceChildren());
    const hide = byId("hide-beats", HTMLInputElement);
    const card = hide.closest(".frames");
    const apply = () => card?.classList.toggle("hiding-beats", hide.checked);
    hide.addEventListener("change", apply);
    apply();
  }

  /** @param {import("/sdk.js").ClientEvents["frame"]} frame */
  add({ direction, body, bytes }) {
    this.#counts[direction] += 1;
    this.#counts.bytes += bytes;
    const { in: received, out: sent, bytes: total } = this.#counts;
    this.#totals.textContent = `${received} in · ${sent} out · ${total.toLocaleString("en")} bytes`;
    if (this.#paused) return;
    this.#list.prepend(row(direction, body.case ?? "unknown", body.value, bytes));
    while (this.#list.childElementCount > MOST) this.#list.lastElementChild?.remove();
  }
}

/**
 * @param {"in" | "out"} direction
 * @param {string} kind
 * @param {unknown} value
 * @param {number} bytes
 */
function row(direction, kind, value, bytes) {
  const plain = toPlain(value);
  const summary = el(
    "summary",
    "",
    el("time", "", clockTime(new Date())),
    el("span", "direction", direction === "in" ? "← in" : "→ out"),
    el("span", "kind", kind),
    el("span", "summary", oneLine(plain)),
    el("span", "bytes", `${bytes} B`),
  );
  const details = el("details", "", summary);
  // Written out only for those who look.
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) {
      details.append(el("pre", "", JSON.stringify(plain, null, 2) ?? ""));
    }
  });
  const item = el("li", "frame", details);
  item.dataset.direction = direction;
  if (BEATS.has(kind)) item.dataset.beat = "";
  return item;
}

/** UplinkStatus, by number. */
const STATUSES = ["UNSPECIFIED", "OK", "BUSY", "UNKNOWN_BUSINESS", "UNAVAILABLE", "TIMEOUT"];

/**
 * A frame as a person wants to see it: like its JSON encoding, but bytes by their number, and tokens
 * cut, as whoever has one can log in with it.
 *
 * @param {unknown} value
 * @returns {unknown}
 */
function toPlain(value) {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value !== "object" || value === null) return value;
  if ("seconds" in value && "nanos" in value) {
    return new Date(Number(value.seconds) * 1000 + Number(value.nanos) / 1e6).toISOString();
  }
  /** @type {Record<string, unknown>} */
  const plain = {};
  for (const [key, entry] of Object.entries(value)) {
    if (key.startsWith("$") || isEmpty(entry)) continue;
    if (key === "token") plain[key] = `${String(entry).slice(0, 12)}…`;
    else if (key === "status") plain[key] = STATUSES[Number(entry)] ?? entry;
    else if (isOneof(entry)) plain[entry.case] = toPlain(entry.value);
    else plain[key] = toPlain(entry);
  }
  return plain;
}

/**
 * @param {unknown} value
 * @returns {value is { case: string, value: unknown }}
 */
function isOneof(value) {
  return typeof value === "object" && value !== null && "case" in value && "value" in value;
}

/**
 * What the encodings leave out.
 *
 * @param {unknown} value
 */
function isEmpty(value) {
  if (value === undefined || value === "" || value === 0n || value === 0 || value === false) {
    return true;
  }
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  return Object.entries(value).every(([key, entry]) => key.startsWith("$") || entry === undefined);
}

/** @param {unknown} plain */
function oneLine(plain) {
  const text = JSON.stringify(plain) ?? "";
  return text.slice(1, -1).replaceAll('"', "").slice(0, 300);
}
