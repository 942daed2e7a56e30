/** From Login to Welcome, and the renewal of tokens. */
import { create } from "@bufbuild/protobuf";
import {
  LimitsSchema,
  type Login,
  WelcomeSchema,
} from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { connectionId } from "../../../streams/connection-id.ts";
import { partitionOf } from "../../../streams/partition.ts";
import type { VerifiedToken } from "../../auth/claims.ts";
import { HoldfastError } from "../../status/errors.ts";
import { batchEncodingOf } from "../../wire/batch-frame.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import { toRequest, toStandings } from "../rooms/rooms.ts";
import { setRooms } from "./rooms-order.ts";
import type { Session } from "./session.ts";
import { isLoggedIn } from "./session-state.ts";

/** Handles Login. Never rejects: what goes wrong ends the session. */
export async function logIn(session: Session, login: Login): Promise<void> {
  try {
    const { state, log, doorway, limits, wheel } = session.services;
    if (state.draining) {
      session.end("going-away");
      return;
    }
    // Those who had a connection come before those who want one.
    const resumes = isResumption(login);
    if (!log.serving || (doorway.isOverfull && !resumes)) {
      session.turnAway();
      return;
    }
    if (resumes) session.passDoor();
    const { maxRooms } = limits;
    if ((login.resume?.rooms.length ?? 0) > maxRooms) {
      session.end("bad-frame", `login.resume.rooms must be at most ${maxRooms}`);
      return;
    }
    session.advance("login");
    session.waitingSinceMs = wheel.now;
    session.reschedule();
    const token = await verified(session, login.token);
    if (token !== undefined && session.state === "logging-in") open(session, login, token);
  } catch (error) {
    session.fault(error);
  }
}

/** Handles Refresh. Never rejects, as above. */
export async function refresh(session: Session, text: string): Promise<void> {
  try {
    const token = await verified(session, text);
    if (token === undefined || !isLoggedIn(session.state)) return;
    const { app, device, user } = session;
    if (token.app !== app || token.device !== device || token.user !== user) {
      session.end("token-invalid", "refresh.token is for another app, device or user");
      return;
    }
    keepToken(session, token);
    session.reschedule();
  } catch (error) {
    session.fault(error);
  }
}

/** Sends Welcome: once the log has the connection, and again when its id has changed. */
export function welcome(session: Session, resumed: boolean): void {
  const { log, limits } = session.services;
  const value = create(WelcomeSchema, {
    connectionId: connectionId(log.incarnation, session.counter),
    node: log.incarnation,
    heartbeatSeconds: Math.ceil(limits.heartbeatMs / 1_000),
    resumed,
    limits: create(LimitsSchema, {
      maxFrameBytes: limits.maxFrameBytes,
      maxRooms: limits.maxRooms,
      idleSeconds: Math.floor((limits.heartbeatMs * limits.idleHeartbeats) / 1_000),
    }),
  });
  session.send(SharedFrame.of({ case: "welcome", value }));
}

function isResumption({ resume }: Login): boolean {
  return resume !== undefined && resume.connectionId !== "";
}

/** The verified token; undefined when it does not verify, and the session has ended. */
async function verified(session: Session, token: string): Promise<VerifiedToken | undefined> {
  try {
    return await session.services.verifier.verify(token);
  } catch (error) {
    const { code, message } = HoldfastError.from(error);
    if (code === "expired") session.end("token-expired");
    else if (code === "unauthenticated") session.end("token-invalid", message);
    else if (code === "unavailable") session.end("overloaded", message);
    else throw error;
    return undefined;
  }
}

function open(session: Session, login: Login, token: VerifiedToken): void {
  const { clock, log, rooms, partitions } = session.services;
  session.app = token.app;
  session.device = token.device;
  session.user = token.user;
  keepToken(session, token);
  session.partition = partitionOf(token.app, token.device, partitions);
  session.client = login.client;
  if (login.businesses.length > 0) session.businesses = [...new Set(login.businesses)];
  session.batching = batchEncodingOf(login.encodings);
  session.openedAtMs = clock.now();
  session.logged = true;
  session.loginNumber = Number(login.loginNumber);
  session.handledSequence = Number(login.lastDeliverySequence);
  session.services.deliveries.claim(session.counter, session.handledSequence);
  // In the record of the login, so that its rooms cost the log nothing more.
  const { resume } = login;
  if (resume !== undefined) session.rooms = rooms.admissible(resume.rooms.map(toRequest));
  log.opened(session, () => stored(session, login));
}

/** What ends the connection when the token is over, or revoked. */
function keepToken(session: Session, { expiresAtMs, id, issuedAtMs }: VerifiedToken): void {
  session.tokenExpiresAtMs = expiresAtMs;
  session.tokenId = id;
  session.tokenIssuedAtMs = issuedAtMs;
}

/** The log has the connection, so nobody can miss it from now on. */
function stored(session: Session, login: Login): void {
  try {
    if (!session.advance("welcomed")) return; // it ended meanwhile
    const { rooms, metrics, state, doorway } = session.services;
    session.passDoor();
    doorway.welcomed();
    metrics.logins += 1;
    metrics.sessions += 1;
    session.reschedule();
    if (state.draining) {
      session.end("going-away");
      return;
    }
    const { resume } = login;
    welcome(session, isResumption(login));
    const standings = toStandings(resume);
    rooms.enter(session, standings);
    if (resume !== undefined) rooms.join(session, resume.rooms.map(toRequest), standings);
    const { ordered = [] } = session;
    session.ordered = undefined;
    for (const order of ordered) setRooms(session, order);
  } catch (error) {
    session.fault(error);
  }
}
