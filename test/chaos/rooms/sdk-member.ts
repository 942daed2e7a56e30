/** A member of a room by the SDK, over sockets that can be cut. */
import { WebSocket } from "ws";
import { connect, type Transport } from "../../../sdk/index.ts";
import { Account } from "./account.ts";
import type { RoomMember, RoomMemberOptions } from "./crowd.ts";

export class SdkMember implements RoomMember {
  readonly account: Account;
  readonly #sockets = new Set<WebSocket>();
  #online = false;
  #joined = false;

  constructor({ member, token, urls, room, random }: RoomMemberOptions) {
    this.account = new Account(member);
    const endpoints = urls.map((url) => ({ url, weight: 100 }));
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const client = connect({
      admit: async () => ({ token, expiresAt, endpoints: shuffled(endpoints, random) }),
      transports: [this.#transport()],
      backoff: { baseMs: 200, capMs: 2_000 },
      connectTimeoutMs: 4_000,
      loginTimeoutMs: 8_000,
    });
    client.on("status", ({ state }) => {
      this.#online = state === "online";
      if (!this.#online) this.#joined = false;
    });
    client.on("message", ({ text, position }) => {
      if (text !== undefined) this.account.message(text, position);
    });
    client.on("gap", ({ room: of, zone }) => {
      this.account.gap(of !== undefined ? "room" : zone !== undefined ? "zone" : "all");
    });
    client.on("error", () => {});
    void client.join(room).then((joined) => {
      this.#joined = true;
      joined.on("joined", () => {
        this.#joined = true;
      });
    });
  }

  get online(): boolean {
    return this.#online && this.#joined;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  #transport(): Transport {
    return {
      accepts: (url) => url.startsWith("ws:"),
      open: (url, subprotocol, receiver) => {
        const socket = new WebSocket(url, [subprotocol]);
        this.#sockets.add(socket);
        socket.on("open", () => receiver.opened());
        socket.on("message", (data: Buffer) => receiver.frame(data));
        socket.on("error", () => {});
        socket.on("close", (code, reason) => {
          this.#sockets.delete(socket);
          receiver.closed(code, String(reason));
        });
        return {
          send: (data) => {
            if (socket.readyState === WebSocket.OPEN) socket.send(data);
          },
          close: () => socket.close(1000),
        };
      },
    };
  }
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map((value) => ({ value, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}
