import { expect, test } from "vitest";
import { untilAnswered } from "../../cmd/patience.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { recordingLogger } from "../support/logger.ts";

const context = () => {
  const { log, lines } = recordingLogger();
  const stopping = new AbortController();
  return { log, lines, stopping, signal: stopping.signal };
};

test("a start waits while NATS does not answer, says why, and goes on", async () => {
  const { lines, ...rest } = context();
  const answers = [
    () => Promise.reject(new HoldfastError("timeout", "no leader")),
    () => Promise.resolve("laid out"),
  ];
  expect(await untilAnswered(rest, () => answers.shift()!())).toBe("laid out");
  expect(lines).toMatchObject([{ msg: "waiting for NATS", why: "no leader" }]);
});

test("a start fails at once when waiting would not help", async () => {
  const asked = untilAnswered(context(), () =>
    Promise.reject(new HoldfastError("conflict", "other partitions")),
  );
  await expect(asked).rejects.toThrow("other partitions");
});

test("a start that is told to stop stops waiting", async () => {
  const { stopping, ...rest } = context();
  const asked = untilAnswered(rest, () => {
    stopping.abort();
    return Promise.reject(new HoldfastError("unavailable", "away"));
  });
  await expect(asked).rejects.toThrow("away");
});
