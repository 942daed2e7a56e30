import type { RevokedEvent } from "../auth/revocations.ts";
import type { SessionServices } from "./services.ts";
import type { Session } from "./session/session.ts";
import { isLoggedIn } from "./session/session-state.ts";

/** Ends the connections whose tokens were revoked just now. */
export function endRevoked({ table, verifier }: SessionServices, event: RevokedEvent): void {
  for (const session of table) {
    if (isAbout(session, event) && verifier.isRevoked(bearerOf(session))) {
      session.end("token-invalid", "the token was revoked");
    }
  }
}

/** Ends every connection of an app that is gone. */
export function endApp({ table }: SessionServices, app: string): void {
  for (const session of table) {
    if (session.app === app && isLoggedIn(session.state)) {
      session.end("token-invalid", "the app was deleted");
    }
  }
}

function isAbout(session: Session, { app, kind, id }: RevokedEvent): boolean {
  if (session.app !== app || !session.logged) return false;
  switch (kind) {
    case "token":
      return session.tokenId === id;
    case "device":
      return session.device === id;
    case "user":
      return session.user === id;
  }
}

function bearerOf({ app, device, user, tokenId: id, tokenIssuedAtMs: issuedAtMs }: Session) {
  return { app, device, user, id, issuedAtMs };
}
