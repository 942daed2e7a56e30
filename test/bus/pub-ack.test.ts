import { expect, test } from "vitest";
import { parsePubAck } from "../../internal/bus/pub-ack.ts";

const parse = (text: string) => parsePubAck(Buffer.from(text));

test("a plain acknowledgement gives its sequence", () => {
  expect(parse('{"stream":"HF_LOG_0","seq":1}')).toBe(1);
  expect(parse('{"stream":"HF_LOG_0", "seq":9007199254740991}')).toBe(9007199254740991);
});

test("other fields around the sequence do not disturb it", () => {
  expect(parse('{"stream":"A","domain":"hub","seq":12,"duplicate":true}')).toBe(12);
  expect(parse('{"stream":"A","seq": 13}')).toBe(13);
  expect(parse('{"domain":"hub","stream":"seq","seq":14}')).toBe(14);
});

test("an error gives its numbers and its text, though it carries a sequence of zero", () => {
  const answer =
    '{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"stream":"A","seq":0}';
  expect(parse(answer)).toEqual({
    status: 400,
    code: 10071,
    description: "wrong last sequence: 5",
    stream: "A",
  });
});

test("what is no acknowledgement at all is an error", () => {
  for (const text of ["", "{", '{"stream":"A', '{"stream":"A"}', "null", "+OK"]) {
    expect(parse(text), text).toMatchObject({ status: 500, code: 0 });
  }
});
