import { beforeEach, describe, expect, test } from "vitest";
import type { AppendOptions, KeyedAppender } from "../../internal/bus/contract.ts";
import { stateEvents } from "../../internal/projector/fold/state-events.ts";
import { StateFeed } from "../../internal/projector/state-feed.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { decodeJson, type Route, type StateEvent } from "../../streams/records.ts";

interface Message {
  key: string;
  subject: string;
  event: StateEvent;
  options: AppendOptions | undefined;
  stored: () => void;
}

let messages: Message[];
let feed: StateFeed;
let done: string[];
let roomMade: number;

let forgotten: object[];

const appender: Pick<KeyedAppender, "append" | "forget"> = {
  append(key, subject, payload, stored, options) {
    const event = decodeJson<StateEvent>(payload);
    messages.push({ key, subject, event, options, stored: () => stored(1, false) });
  },
  forget: (owner) => void forgotten.push(owner),
};

beforeEach(() => {
  messages = [];
  done = [];
  forgotten = [];
  roomMade = 0;
  feed = new StateFeed(appender, () => {
    roomMade += 1;
  });
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

  test("sends nothing of a former owner again: the appender forgets it", () => {
    tell(coming("d1"), "d1");
    expect(messages.every(({ options }) => options?.owner === feed)).toBe(true);
    feed.close();
    feed.close();
    expect(forgotten).toEqual([feed]);
  });

  test("keeps the events of one device in one line, and those of others out of it", () => {
    tell(coming("d1", ["lobby"]), "d1");
    tell(coming("d2"), "d2");
    expect(new Set(messages.map(({ key }) => key)).size).toBe(2);
    expect(new Set(messages.slice(0, 3).map(({ key }) => key)).size).toBe(1);
  });

  test("is crowded while thousands of events wait, and says when there is room", () => {
    for (let device = 0; device < 2_100; device++) tell(coming(`d${device}`), "told");
    expect(feed.crowded).toBe(true);
    for (const { stored } of messages.slice(0, 3_000)) stored();
    expect([feed.crowded, roomMade]).toEqual([true, 0]);
    for (const { stored } of messages.slice(3_000)) stored();
    expect([feed.crowded, roomMade]).toEqual([false, 1]);
    expect(done).toHaveLength(2_100);
  });
});
