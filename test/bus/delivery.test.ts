import { expect, test } from "vitest";
import { parseDelivery } from "../../internal/bus/delivery.ts";

test("the reply subject of a delivered message gives its sequences and what is pending", () => {
  const expected = {
    sequence: 1500,
    consumerSequence: 7,
    storedAtMs: 1_795_227_637_846,
    pending: 42,
  };
  expect(parseDelivery("$JS.ACK.HF_LOG_0.c1.1.1500.7.1795227637846145573.42")).toEqual(expected);
});

test("so does the longer form of servers with a domain, with or without its random end", () => {
  const expected = {
    sequence: 1500,
    consumerSequence: 7,
    storedAtMs: 1_795_227_637_846,
    pending: 42,
  };
  const long = "$JS.ACK.hub.ACCHASH.HF_LOG_0.c1.1.1500.7.1795227637846145573.42";
  expect(parseDelivery(long)).toEqual(expected);
  expect(parseDelivery(`${long}.x7Yz`)).toEqual(expected);
});

test("other reply subjects give nothing", () => {
  for (const reply of [undefined, "", "_INBOX.a.b", "$JS.ACK.too.short", "$JS.FC.s.c.x"]) {
    expect(parseDelivery(reply)).toBeUndefined();
  }
});
