/**
 * What the SDK takes from its surroundings besides the network. Tests give a virtual clock and a
 * seeded random source, so that every wait and every choice can be replayed.
 */
export interface Surroundings {
  /** Wall clock, Unix milliseconds. */
  now(): number;
  /** Calls `fire` once, `delayMs` from now, unless the returned function is called before. */
  after(delayMs: number, fire: () => void): () => void;
  /** From 0 up to but not including 1, like Math.random. */
  random(): number;
  /** Whether a person is looking at the application. */
  foreground(): boolean;
  /**
   * Calls `looked` when the application comes to the foreground or leaves it, and `networkBack` when
   * the device has a network again. Returns the function that stops watching.
   */
  watch(looked: () => void, networkBack: () => void): () => void;
}

interface EventSource {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

/** The parts of a browser's globals that are used here; Node has none of them. */
interface PageGlobals {
  document?: EventSource & { readonly visibilityState: string };
  addEventListener?: EventSource["addEventListener"];
  removeEventListener?: EventSource["removeEventListener"];
}

const page = globalThis as PageGlobals;

/** The browser's or Node's own. */
export const platformSurroundings: Surroundings = {
  now: () => Date.now(),
  after(delayMs, fire) {
    const handle = setTimeout(fire, delayMs);
    return () => clearTimeout(handle);
  },
  random: () => Math.random(),
  foreground: () => page.document?.visibilityState !== "hidden",
  watch(looked, networkBack) {
    page.document?.addEventListener("visibilitychange", looked);
    page.addEventListener?.("online", networkBack);
    return () => {
      page.document?.removeEventListener("visibilitychange", looked);
      page.removeEventListener?.("online", networkBack);
    };
  },
};
