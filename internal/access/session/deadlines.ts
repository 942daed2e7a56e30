/** When a session has to end by itself. All its deadlines share one place on the wheel. */
import type { CloseReason } from "../../status/close.ts";
import type { Session } from "./session.ts";

/** The deadline that has passed, if one has. */
export function passedDeadline(session: Session): CloseReason | undefined {
  const { wheel, clock, limits } = session.services;
  if (session.state === "awaiting-login") {
    const passed = session.waitingSinceMs + limits.loginTimeoutMs <= wheel.now;
    return passed ? "login-timeout" : undefined;
  }
  if (session.state === "logging-in") {
    const passed = session.waitingSinceMs + limits.storeTimeoutMs <= wheel.now;
    return passed ? "overloaded" : undefined;
  }
  if (session.tokenExpiresAtMs <= clock.now()) return "token-expired";
  if (session.heardAtMs + session.idleMs <= wheel.now) return "idle";
  if ((session.replacedAtMs ?? Number.POSITIVE_INFINITY) <= wheel.now) return "replaced";
  return (session.drainedAtMs ?? Number.POSITIVE_INFINITY) <= wheel.now ? "going-away" : undefined;
}

/** Milliseconds to the nearest deadline. */
export function nextDeadline(session: Session): number {
  const { wheel, clock, limits } = session.services;
  if (session.state === "awaiting-login") {
    return session.waitingSinceMs + limits.loginTimeoutMs - wheel.now;
  }
  if (session.state === "logging-in") {
    return session.waitingSinceMs + limits.storeTimeoutMs - wheel.now;
  }
  const idle = session.heardAtMs + session.idleMs - wheel.now;
  const token = session.tokenExpiresAtMs - clock.now();
  const drained = (session.drainedAtMs ?? Number.POSITIVE_INFINITY) - wheel.now;
  const replaced = (session.replacedAtMs ?? Number.POSITIVE_INFINITY) - wheel.now;
  return Math.min(idle, token, drained, replaced);
}
