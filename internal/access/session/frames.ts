/** What each frame of a client does. Its state allows it already; its fields are checked here. */
import type { ClientBody } from "../../wire/codec.ts";
import { fieldProblem } from "../../wire/validate.ts";
import { ProtocolViolation } from "../../wire/violation.ts";
import { toRequest } from "../rooms/rooms.ts";
import { logIn, refresh } from "./handshake.ts";
import { answerPing } from "./heartbeat.ts";
import { refuse } from "./refusal.ts";
import type { Session } from "./session.ts";

export function handleFrame(session: Session, body: ClientBody): void {
  const problem = fieldProblem(body);
  if (problem !== undefined) {
    refuseFields(session, body, problem);
    return;
  }
  switch (body.case) {
    case "login":
      void logIn(session, body.value);
      break;
    case "ping":
      answerPing(session, body.value.foreground);
      break;
    case "uplink":
      session.services.uplinks.forward(session, body.value);
      break;
    case "join":
      session.services.rooms.join(session, [toRequest(body.value)]);
      break;
    case "leave":
      session.services.rooms.leave(session, [body.value.room]);
      break;
    case "ack":
      session.services.acks.acknowledge(session, Number(body.value.deliverySequence));
      break;
    case "refresh":
      void refresh(session, body.value.token);
      break;
    case "logout":
      session.end("logout");
      break;
  }
}

/** A request that breaks a rule is refused alone; without a good login there is no connection. */
function refuseFields(session: Session, body: ClientBody, problem: string): void {
  switch (body.case) {
    case "login":
    case "refresh":
      throw new ProtocolViolation("bad-frame", problem);
    case "uplink":
      refuse(session, problem, { requestId: body.value.requestId });
      break;
    case "join":
    case "leave":
      refuse(session, problem, { room: body.value.room });
      break;
    default:
      refuse(session, problem, {});
  }
}
