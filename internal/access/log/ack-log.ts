/** Gathers what clients acknowledge, and tells the log of it some times a second. */
import { create } from "@bufbuild/protobuf";
import { type Ack, AckSchema } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import type { Clock, Timer } from "../../clock/clock.ts";
import type { Deliveries } from "../delivery/deliveries.ts";
import type { AccessMetrics } from "../metrics.ts";
import { refuse } from "../session/refusal.ts";
import type { Session } from "../session/session.ts";
import type { ConnectionLog } from "./connection-log.ts";

const FLUSH_MS = 20;
/** Connections in one record. */
const MOST = 512;

export interface AckLogOptions {
  log: ConnectionLog;
  deliveries: Deliveries;
  clock: Clock;
  metrics: AccessMetrics;
}

export class AckLog {
  readonly #options: AckLogOptions;
  /** By partition and connection: the newest acknowledgement, which covers those before. */
  readonly #waiting = new Map<number, Map<Session, number>>();
  #timer: Timer | undefined;

  constructor(options: AckLogOptions) {
    this.#options = options;
  }

  /** A client's Ack frame. */
  acknowledge(session: Session, sequence: number): void {
    const { deliveries, metrics, clock } = this.#options;
    const verdict = deliveries.acknowledge(session.counter, sequence);
    if (verdict.kind === "wrong") {
      metrics.acksRefused += 1;
      refuse(session, "ack.delivery_sequence: this connection was not sent that delivery", {});
      return;
    }
    metrics.acks += 1;
    if (verdict.kind === "repeated") return;
    let partition = this.#waiting.get(session.partition);
    if (partition === undefined) {
      partition = new Map();
      this.#waiting.set(session.partition, partition);
    }
    partition.set(session, verdict.sequence);
    if (partition.size >= MOST) this.#flush(session.partition);
    else this.#timer ??= clock.after(FLUSH_MS, () => this.#flushAll());
  }

  /**
   * The connection has ended: the log has to hear of what it acknowledged before it hears of the end,
   * or a later connection of the device would be sent it again.
   */
  closed(session: Session): void {
    if (this.#waiting.get(session.partition)?.has(session)) this.#flush(session.partition);
    this.#options.deliveries.forget(session.counter);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #flushAll(): void {
    this.#timer = undefined;
    for (const partition of [...this.#waiting.keys()]) this.#flush(partition);
  }

  #flush(partition: number): void {
    const waiting = this.#waiting.get(partition);
    if (waiting === undefined) return;
    this.#waiting.delete(partition);
    this.#options.log.acknowledged(partition, Array.from(waiting, ackOf));
  }
}

function ackOf([{ app, device, counter }, sequence]: [Session, number]): Ack {
  const deliverySequence = BigInt(sequence);
  return create(AckSchema, { app, device, deliverySequence, connection: BigInt(counter) });
}
