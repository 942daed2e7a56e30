/** The kit must not import the servers' code, so that these say the same is for a test to hold. */
import fc from "fast-check";
import { expect, expectTypeOf, test } from "vitest";
import type { StateEvent as KitStateEvent } from "../../sdk/node-business.ts";
import {
  inboxPrefix,
  requestSubject,
  STATE_STREAM,
  stateConsumer,
  stateFilter,
  storedConsumer,
  storedSubject,
  TAKEN_HEADER,
  token,
  UPLINK_STREAM,
} from "../../sdk/node-business-subjects.ts";
import * as layout from "../../streams/layout.ts";
import { toToken } from "../../streams/names.ts";
import type { StateEvent } from "../../streams/records.ts";
import * as subjects from "../../streams/subjects.ts";
import { subjectMatcher } from "../support/subject-matcher.ts";

const id = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });

test("a name becomes the same subject token for a business server as for the gateway", () => {
  fc.assert(
    fc.property(id, (name) => {
      expect(token(name)).toBe(toToken(name));
    }),
  );
});

test("a business server listens where the gateway speaks", () => {
  fc.assert(
    fc.property(id, id, id, (app, business, device) => {
      expect(requestSubject(app, business)).toBe(subjects.rpcSubject(app, business));
      expect(storedSubject(app, business)).toBe(subjects.uplinkSubject(app, business));
      expect(storedConsumer(app, business)).toBe(subjects.uplinkConsumer(app, business));
      expect(inboxPrefix(app, business)).toBe(subjects.businessInboxPrefix(app, business));
      for (const scope of subjects.STATE_SCOPES) {
        const filter = subjects.stateScopeFilter(app, business, scope);
        expect(stateFilter(app, business, scope)).toBe(filter);
        for (const instance of [undefined, "2"]) {
          const name = subjects.stateConsumer(app, business, scope, instance);
          expect(stateConsumer(app, business, scope, instance)).toBe(name);
        }
      }
      const hears = (scope: Parameters<typeof stateFilter>[2], subject: string) =>
        subjectMatcher(stateFilter(app, business, scope))(subject);
      for (const event of ["online", "offline"] as const) {
        const own = subjects.businessStateSubject(app, business, event, device);
        const all = subjects.connectionStateSubject(app, event, device);
        expect([hears("business", own), hears("app", own)]).toEqual([true, false]);
        expect([hears("business", all), hears("app", all)]).toEqual([false, true]);
      }
      expect(hears("rooms", subjects.roomStateSubject(app, "enter", device))).toBe(true);
    }),
  );
});

test("no two businesses come to the same consumer", () => {
  const short = fc.string({
    unit: fc.constantFrom("a", "b", "_", "-", "é"),
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(short, short, short, short, (app, business, otherApp, otherBusiness) => {
      fc.pre(app !== otherApp || business !== otherBusiness);
      expect(storedConsumer(app, business)).not.toBe(storedConsumer(otherApp, otherBusiness));
      const own = stateConsumer(app, business, "app");
      expect(own).not.toBe(stateConsumer(otherApp, otherBusiness, "app"));
      expect(own).not.toBe(stateConsumer(otherApp, otherBusiness, "app", "1"));
    }),
  );
});

test("streams, headers and events have the same names on both sides", () => {
  expect([UPLINK_STREAM, STATE_STREAM, TAKEN_HEADER]).toEqual([
    layout.UPLINK_STREAM,
    layout.STATE_STREAM,
    subjects.TAKEN_HEADER,
  ]);
  expectTypeOf<StateEvent>().toExtend<KitStateEvent>();
});
