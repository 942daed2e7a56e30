import { fromBinary, toJsonString } from "@bufbuild/protobuf";
import { test } from "vitest";
import * as F from "../../internal/projector/partition-owner.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { Cluster } from "./cluster.ts";
import { simulate } from "./run.ts";

test("x", { timeout: 600000 }, async () => {
  const orig = Cluster.prototype.startNode;
  let hooked = false;
  Cluster.prototype.startNode = function (slot) {
    orig.call(this, slot);
    if (hooked) return;
    hooked = true;
    const b = this.broker,
      a = b.appended;
    b.appended = (r) => {
      a(r);
      const t = toJsonString(RecordSchema, fromBinary(RecordSchema, r.data));
      this.note(`LOG ${r.partition} ${r.sequence} ${t.slice(0, 260)}`);
    };
    b.observers.push({
      refused: (bk, k, w) => this.note(`REFUSED ${bk} ${k} by ${w}`),
      written: (bk, e, w) => {
        if (bk !== "hf_lease")
          this.note(
            `WRITE ${bk} ${e.key} rev ${e.revision} by ${w} ${bk === "hf_snapshot" ? "" : e.value && Buffer.from(e.value).toString().slice(0, 200)}`,
          );
      },
    });
  };
  const { wrong, history } = await simulate(Number(process.env.FROM));
  console.log(wrong.join("\n"));
  console.log(history.join("\n"));
});
