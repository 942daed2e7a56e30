import { create } from "@bufbuild/protobuf";
import { PongSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import type { SessionLimits } from "../limits.ts";
import type { Session } from "./session.ts";

const PONG = SharedFrame.of({ case: "pong", value: create(PongSchema) });

/** Pongs that name another interval than Welcome did, by that interval: one or two in a process. */
const backgroundPongs = new Map<number, SharedFrame>();

/** Answers a ping. What the client says of itself decides how long it may be silent from now on. */
export function answerPing(session: Session, foreground: boolean): void {
  const { limits } = session.services;
  const heartbeatMs = foreground ? limits.heartbeatMs : limits.backgroundHeartbeatMs;
  const idleMs = heartbeatMs * limits.idleHeartbeats;
  if (idleMs !== session.idleMs) {
    session.idleMs = idleMs;
    session.reschedule();
  }
  session.send(foreground ? PONG : backgroundPong(limits));
}

function backgroundPong(limits: SessionLimits): SharedFrame {
  const heartbeatSeconds = Math.ceil(limits.backgroundHeartbeatMs / 1_000);
  let pong = backgroundPongs.get(heartbeatSeconds);
  if (pong === undefined) {
    pong = SharedFrame.of({ case: "pong", value: create(PongSchema, { heartbeatSeconds }) });
    backgroundPongs.set(heartbeatSeconds, pong);
  }
  return pong;
}
