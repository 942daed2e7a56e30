/** Started by clients.ts: thousands of devices in one process, ordered about over IPC. */
import { exponential, pick, seededRandom } from "../support/seeded-random.ts";
import { BareDevice } from "./bare-device.ts";
import type { ClientOrder, ClientReport, Restlessness } from "./client-protocol.ts";
import type { Device, Leaving } from "./device.ts";
import { type History, openHistory } from "./history.ts";
import { SdkDevice } from "./sdk-device.ts";

/** Logins at the beginning and after a settling are spread, so that they are no flood. */
const SPREAD_MS_PER_DEVICE = 2;
const LEAVINGS: readonly Leaving[] = ["cut", "cut", "close", "logout"];

class Crowd {
  readonly #devices = new Map<string, Device>();
  readonly #history: History;
  readonly #random;
  #restlessness: Restlessness | undefined;
  /** The next coming or going of each device. */
  readonly #plans = new Map<string, NodeJS.Timeout>();
  #logins = 0;

  constructor(begin: Extract<ClientOrder, { order: "begin" }>) {
    this.#history = openHistory(begin.folder, begin.writer);
    this.#random = seededRandom(begin.seed);
    for (const { device, token } of begin.devices) {
      const options = {
        ...begin,
        device,
        token,
        history: this.#history,
        random: this.#random,
        cameOnline: (who: Device) => {
          this.#logins++;
          this.#planLeaving(who);
        },
      };
      const made = begin.kind === "sdk" ? new SdkDevice(options) : new BareDevice(options);
      this.#devices.set(device, made);
    }
    if (begin.spreadMs > 0) this.#comeInOrder(begin.spreadMs);
    else this.settle(new Set());
    setInterval(() => {
      const now = performance.now();
      for (const device of this.#devices.values()) device.tick(now);
    }, 1_000);
  }

  beRestless(restlessness: Restlessness): void {
    this.#restlessness = restlessness;
    for (const device of this.#devices.values()) if (device.online) this.#planLeaving(device);
  }

  settle(away: ReadonlySet<string>): void {
    this.#restlessness = undefined;
    const spreadMs = this.#devices.size * SPREAD_MS_PER_DEVICE;
    for (const [name, device] of this.#devices) {
      if (away.has(name)) {
        this.#plan(device, 0, () => device.leave(pick(this.#random, LEAVINGS)));
      } else this.#plan(device, this.#random() * spreadMs, () => device.come());
    }
  }

  async report(): Promise<ClientReport> {
    await this.#history.flushed();
    const devices = [...this.#devices.values()];
    return {
      devices: devices.length,
      online: devices.filter((device) => device.online).length,
      repeats: devices.reduce((sum, device) => sum + device.repeats, 0),
      logins: this.#logins,
      refusals: devices.reduce((sum, device) => sum + device.refusals, 0),
    };
  }

  #comeInOrder(spreadMs: number): void {
    for (const [index, device] of [...this.#devices.values()].entries()) {
      this.#plan(device, index * spreadMs, () => device.come());
    }
  }

  #planLeaving(device: Device): void {
    const restlessness = this.#restlessness;
    if (restlessness === undefined) return;
    this.#plan(device, exponential(this.#random, restlessness.onlineMs), () => {
      device.leave(pick(this.#random, LEAVINGS));
      const awayMs = exponential(this.#random, restlessness.awayMs);
      this.#plan(device, awayMs, () => device.come());
    });
  }

  #plan(device: Device, inMs: number, act: () => void): void {
    clearTimeout(this.#plans.get(device.name));
    this.#plans.set(device.name, setTimeout(act, inMs));
  }
}

let crowd: Crowd | undefined;

process.on("message", async (order: ClientOrder) => {
  if (order.order === "begin") crowd = new Crowd(order);
  else if (order.order === "be-restless") crowd?.beRestless(order.restlessness);
  else if (order.order === "settle") crowd?.settle(new Set(order.away));
  process.send?.(await crowd?.report());
});
process.on("disconnect", () => process.exit());
