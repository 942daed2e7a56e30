import { NatsAppender } from "../../internal/bus/appender.ts";
import { type Connection, connect } from "../../internal/bus/connect.ts";
import type { WindowLimits } from "../../internal/bus/publish-window.ts";
import type { Clock } from "../../internal/clock/clock.ts";
import type { HoldfastError } from "../../internal/status/errors.ts";
import type { TestNats } from "../support/nats.ts";

/** A connection that keeps its faults, to look at. */
export interface TestConnection extends Connection {
  readonly faults: HoldfastError[];
}

export async function connectTo(nats: TestNats): Promise<TestConnection> {
  const faults: HoldfastError[] = [];
  const connection = await connect({
    urls: [nats.url],
    name: "test",
    events: { waiting: () => {}, fault: (error) => faults.push(error) },
  });
  return { ...connection, faults };
}

export interface TestAppender {
  readonly appender: NatsAppender;
  readonly stalled: HoldfastError[];
  readonly refused: { subject: string; why: HoldfastError }[];
}

export function appenderOn(
  connection: Connection,
  limits?: WindowLimits,
  clock?: Clock,
): TestAppender {
  const stalled: HoldfastError[] = [];
  const refused: { subject: string; why: HoldfastError }[] = [];
  const events = {
    stalled: (why: HoldfastError) => void stalled.push(why),
    refused: (subject: string, why: HoldfastError) => void refused.push({ subject, why }),
  };
  const appender = new NatsAppender(connection, events, {
    ...(limits && { limits }),
    ...(clock && { clock }),
  });
  return { appender, stalled, refused };
}

export const bytes = (text: string | number): Uint8Array => Buffer.from(String(text));
export const text = (data: Uint8Array): string => Buffer.from(data).toString();
