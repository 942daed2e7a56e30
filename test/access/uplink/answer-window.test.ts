import { describe, expect, test } from "vitest";
import {
  AnswerWindow,
  AnswerWindows,
  WINDOW_MS,
  windowKey,
} from "../../../internal/access/uplink/answer-window.ts";
import { outcome, refusal } from "../../../internal/access/uplink/outcome.ts";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const OK = outcome(UplinkStatus.OK);

/** Exchanges; nothing of them matters here but which is which. */
const [first, second] = [{}, {}];

describe("the window of a device", () => {
  test("knows what is under way, and then how it was answered", () => {
    const window = new AnswerWindow();
    window.begin("r1", first);
    expect(window.find("r1")).toBe(first);
    window.answer("r1", first, OK);
    expect(window.find("r1")).toBe(OK);
  });

  test("forgets what the business does not have", () => {
    const window = new AnswerWindow();
    window.begin("k", first);
    window.forget("k", first);
    expect(window.find("k")).toBeUndefined();
  });

  test("is not misled by the end of an uplink whose id has been used again", () => {
    const window = new AnswerWindow();
    window.begin("k", first);
    window.begin("k", second);
    window.answer("k", first, OK);
    window.forget("k", first);
    expect(window.find("k")).toBe(second);
  });

  test("is bounded by uplinks and by the bytes of the answers, oldest first", () => {
    const window = new AnswerWindow();
    for (let i = 0; i <= 64; i += 1) window.begin(`${i}`, first);
    expect(window.find("0")).toBeUndefined();
    expect(window.find("1")).toBeDefined();
    const long = refusal("x".repeat(200 * 1024));
    for (const key of ["62", "63", "64"]) window.answer(key, first, long);
    expect(window.find("62")).toBeUndefined();
    expect(window.find("64")).toBe(long);
  });
});

describe("the windows of a node", () => {
  test("outlive a connection by a minute, and no longer than two", () => {
    const windows = new AnswerWindows();
    windows.of("d1", 0).begin("k", first);
    expect(windows.of("d1", WINDOW_MS * 1.5).find("k")).toBeDefined();
    expect(windows.of("d1", WINDOW_MS * 3).find("k")).toBeDefined();
    windows.of("d2", WINDOW_MS * 4);
    windows.of("d2", WINDOW_MS * 5);
    expect(windows.of("d1", WINDOW_MS * 6).find("k")).toBeUndefined();
  });

  test("are one for each device, app and business", () => {
    const windows = new AnswerWindows();
    windows.of(windowKey("shop", "d1", "chat"), 0).begin("k", first);
    expect(windows.of(windowKey("shop", "d1", "chat"), 0).find("k")).toBeDefined();
    expect(windows.of(windowKey("shop", "d2", "chat"), 0).find("k")).toBeUndefined();
    expect(windows.of(windowKey("bank", "d1", "chat"), 0).find("k")).toBeUndefined();
    expect(windows.of(windowKey("shop", "d1", "orders"), 0).find("k")).toBeUndefined();
  });

  test("go early when their answers take too much memory", () => {
    const windows = new AnswerWindows();
    windows.of("d1", 0).begin("k", first);
    windows.grew(40 * 1024 * 1024, 1);
    windows.grew(40 * 1024 * 1024, 2);
    expect(windows.of("d1", 3).find("k")).toBeUndefined();
  });
});
