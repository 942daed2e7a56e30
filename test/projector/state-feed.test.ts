import { beforeEach, describe, expect, test } from "vitest";
import type { Appender, AppendOptions, Stored } from "../../internal/bus/contract.ts";
import { stateEvents } from "../../internal/projector/fold/state-events.ts";
import { StateFeed } from "../../internal/projector/state-feed.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { decodeJson, type Route, type StateEvent } from "../../streams/records.ts";

interface Message {
  subject: string;
  event: StateEvent;
  options: AppendOptions | undefined;
  stored: () => void;
}

let messages: Message[];
let feed: StateFeed;
let done: string[];

const appender: Pick<Appender, "append"> = {
  append(subject: string, payload: Uint8Array, stored?: Stored, options?: AppendOptions) {
    const event = decodeJson<StateEvent>(payload);
    messages.push({ subject, event, options, stored: () => stored?.(1, false) });
  },
};

beforeEach(() => {
  messages = [];
  done = [];
  feed = new StateFeed(appender);
});

/** The events of a device that comes online, in as many rooms. */
function coming(device: string, rooms: string[] = []): StateEvent[] {
  const route: Route = {
    app: "my app",
    device,
    user: "",
    online: true,
    connection: `n-1.${device}`,
    node: "n-1",
    platform: "",
    appVersion: "",
    address: "",
    businesses: ["chat"],
    since: 0,
    lastSeen: 0,
    rooms,
    sequence: 1,
    reason: "",
    loginNumber: 0,
  };
  return stateEvents(0, undefined, route);
}

const tell = (events: StateEvent[], what: string) => feed.tell(events, () => done.push(what));

describe("the feed of connection state", () => {
  test("publishes on the public subjects, each message under the id of its event", () => {
    tell(coming("d.1", ["lobby"]), "d1");
    expect(messages.map(({ subject }) => subject)).toEqual([
      "hf.state.-bXkgYXBw.conn.online.-ZC4x",
      "hf.state.-bXkgYXBw.business.chat.online.-ZC4x",
      "hf.state.-bXkgYXBw.room.enter.lobby",
    ]);
    for (const { event, options } of messages) {
      expect(options?.headers).toEqual({ "Nats-Msg-Id": event.id });
    }
  });

  test("lets go on only when all events are stored", () => {
    tell(coming("d1"), "d1");
    const [online, business] = messages;
    business?.stored();
    expect(done).toEqual([]);
    online?.stored();
    expect(done).toEqual(["d1"]);
    expect(feed.backlog).toBe(0);
  });

  test("lets go on in order, also what has no events", () => {
    tell(coming("d1"), "d1");
    tell(coming("d2"), "d2");
    tell([], "checkpoint");
    for (const { stored } of messages.slice(2)) stored();
    expect(done).toEqual([]);
    for (const { stored } of messages.slice(0, 2)) stored();
    expect(done).toEqual(["d1", "d2", "checkpoint"]);
    tell([], "at once");
    expect(done.at(-1)).toBe("at once");
  });

  test("is not held up by a message that the stream will never take", () => {
    tell(coming("d1"), "d1");
    const [online, business] = messages;
    online?.stored();
    business?.options?.refused?.(new HoldfastError("invalid", "too large"));
    expect(done).toEqual(["d1"]);
  });

  test("lets nothing go on once it is closed", () => {
    tell(coming("d1"), "d1");
    feed.close();
    for (const { stored } of messages) stored();
    tell([], "late");
    expect(done).toEqual([]);
  });
});
