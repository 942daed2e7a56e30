import { expect, test } from "vitest";
import { Hearing } from "../../internal/projector/hearing.ts";
import { NODE_SILENCE_MS, NodeLiveness } from "../../internal/projector/node-liveness.ts";
import { FakeAppender } from "../access/fakes.ts";
import { recordingLogger } from "../support/logger.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { FoldedLog } from "./fold-support.ts";

class Declarations extends FakeAppender {
  count = 0;
  override appendFirst(): void {
    this.count += 1;
  }
}

function silent(log: FoldedLog) {
  const clock = new VirtualClock();
  const link = { connected: true, watch: () => ({ stop() {} }) };
  const hearing = new Hearing(clock, link);
  const { log: logger, lines } = recordingLogger();
  const appender = new Declarations();
  const liveness = new NodeLiveness({ clock, hearing, appender, log: logger });
  liveness.heard("a-1");
  for (let ms = 0; ms <= NODE_SILENCE_MS; ms += 250) {
    clock.advance(250);
    hearing.echo();
    hearing.tick();
    liveness.tick([{ partition: 3, table: log.table }]);
  }
  return { lines, appender };
}

test("a node that falls silent with connections is declared dead, and that is said", () => {
  const log = new FoldedLog();
  log.connected({ id: "a-1.1", device: "d" });
  const { lines } = silent(log);
  expect(lines).toMatchObject([{ incarnation: "a-1", partition: 3, connections: 1 }]);
});

test("a node that ended its connections and stopped is declared dead without a word", () => {
  const log = new FoldedLog();
  log.connected({ id: "a-1.1", device: "d" });
  log.disconnected("a-1.1", "d", "going-away");
  const { lines, appender } = silent(log);
  expect(lines).toEqual([]);
  expect(appender.count).toBe(1);
});
