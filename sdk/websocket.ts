import type { Transport } from "./transport.ts";

/** WebSocket by the platform's own implementation: every browser, Node 22 or newer. */
export const webSocket: Transport = {
  accepts: (url) => /^wss?:/i.test(url),

  open(url, subprotocol, receiver) {
    const socket = new WebSocket(url, subprotocol);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => receiver.opened());
    socket.addEventListener("message", ({ data }) => {
      receiver.frame(typeof data === "string" ? data : new Uint8Array(data));
    });
    // An "error" event says nothing that the "close" event after it does not.
    socket.addEventListener("close", ({ code, reason }) => receiver.closed(code, reason));
    return {
      send(data) {
        if (socket.readyState !== socket.OPEN) return;
        // Two calls because the typings of bytes differ between platforms.
        if (typeof data === "string") socket.send(data);
        else socket.send(new Uint8Array(data));
      },
      close: () => socket.close(1000),
    };
  },
};
