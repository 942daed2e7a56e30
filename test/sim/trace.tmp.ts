import { SimDevice } from "./delivery/client.ts";
import { DeliveryCluster } from "./delivery/cluster.ts";
import { SimLog } from "./delivery/log.ts";
import { SimMailStream } from "./delivery/mailbox.ts";
import { SimNode } from "./delivery/node.ts";
import { simulate } from "./delivery/run.ts";

const seed = Number(process.argv[2]),
  id = process.argv[3]!,
  dev = process.argv[4]!;
const lines: string[] = [];
const wrap = (
  proto: any,
  name: string,
  log: (self: any, args: any[], result: any) => string | undefined,
) => {
  const real = proto[name];
  proto[name] = function (...args: any[]) {
    const result = real.apply(this, args);
    const l = log(this, args, result);
    if (l) {
      const w = this.world ?? globalThis.W;
      lines.push(`${(globalThis as any).W?.now?.toFixed(0)} ${l}`);
    }
    return result;
  };
};
wrap(DeliveryCluster.prototype, "startNode", (self) => {
  (globalThis as any).W = self.world;
  return undefined;
});
wrap(SimLog.prototype, "store", (_s, [p, mid], r) =>
  mid === id ? `accepted ${JSON.stringify(r)}` : undefined,
);
wrap(SimLog.prototype, "append", (_s, [who, body]) => {
  if (body.case === "acked") {
    const a = body.value.acks.filter((x: any) => x.device === dev);
    return a.length
      ? `ack append ${who} ${a.map((x: any) => x.deliverySequence + "/c" + x.connection)}`
      : undefined;
  }
  if (body.case === "connected" && body.value.connection.device === dev)
    return `connected ${body.value.connection.id} claims ${body.value.connection.handledSequence}`;
  if (body.case === "disconnected" && body.value.device === dev)
    return `disconnected ${body.value.connectionId}`;
  return undefined;
});
wrap(
  SimLog.prototype,
  "loseTail",
  (s, _a, r) =>
    `LOSE TAIL of log to ${s.end}: ${r.map((x: any) => x.sequence + x.record.body.case[0]).join(",")}`,
);
wrap(
  SimMailStream.prototype,
  "loseTail",
  (_s, _a, r) => `LOSE TAIL of mail: ${r.map((x: any) => x.messageId)}`,
);
wrap(SimMailStream.prototype, "store", (_s, [m], r) =>
  m.messageId === id ? `mail store ${m.sequence} ${JSON.stringify(r)}` : undefined,
);
wrap(SimMailStream.prototype, "purge", (_s, [d, p]) => (d === dev ? `purge ${p}` : undefined));
wrap(SimDevice.prototype, "received", (s, [c, seq, text]) =>
  s.name === dev
    ? `received ${seq} ${text} via ${c.node.incarnation}.${c.counter}${s.connection === c ? "" : " (old)"}`
    : undefined,
);
wrap(DeliveryCluster.prototype, "crashOwner", () => `crash owner`);
wrap(DeliveryCluster.prototype, "freezeOwner", (_s, [ms]) => `freeze owner ${ms}`);
wrap(DeliveryCluster.prototype, "cutOwner", (_s, [ms]) => `cut owner ${ms}`);
wrap(DeliveryCluster.prototype, "failed", () => `owner failed`);
wrap(SimNode.prototype, "crash", (s) => `crash ${s.incarnation}`);
const { wrong, cluster } = await simulate(seed);
for (const l of lines) console.log(l);
console.log([...cluster.marks.entries].map(([k, v]) => k + " " + Buffer.from(v.value!).toString()));
console.log(wrong);
