/** Who this tab is. Kept for the tab's life, so that a reload is the same device again. */

const DEVICE = "holdfast.device";
const USER = "holdfast.user";
const ROOMS = "holdfast.rooms";

const FIRST = ["Amber", "Brisk", "Coral", "Dusty", "Early", "Fleet", "Giddy", "Hazel", "Ivory"];
const SECOND = [
  "Badger",
  "Curlew",
  "Dolphin",
  "Egret",
  "Falcon",
  "Gannet",
  "Heron",
  "Ibis",
  "Lynx",
];

/** @param {readonly string[]} words */
const pick = (words) => words[Math.floor(Math.random() * words.length)] ?? "";

/**
 * @param {string} key
 * @param {() => string} make
 */
function remembered(key, make) {
  const known = sessionStorage.getItem(key);
  if (known !== null) return known;
  const made = make();
  sessionStorage.setItem(key, made);
  return made;
}

export const identity = {
  get device() {
    return remembered(DEVICE, () => `tab-${crypto.randomUUID().slice(0, 8)}`);
  },

  get user() {
    return remembered(USER, () => `${pick(FIRST)} ${pick(SECOND)}`);
  },

  set user(name) {
    sessionStorage.setItem(USER, name);
  },

  /** A duplicated tab starts as the same device, and only one of the two can be online. */
  becomeAnotherDevice() {
    sessionStorage.removeItem(DEVICE);
  },

  /** @returns {string[]} */
  get rooms() {
    return JSON.parse(sessionStorage.getItem(ROOMS) ?? "[]");
  },

  set rooms(names) {
    sessionStorage.setItem(ROOMS, JSON.stringify(names));
  },
};
