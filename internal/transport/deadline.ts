import type { Socket } from "node:net";
import type { WheelEntry } from "../clock/wheel.ts";

/** Cuts a socket that has not come to its next stage in time. */
export class SocketDeadline implements WheelEntry {
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  due(): void {
    this.#socket.destroy();
  }
}
