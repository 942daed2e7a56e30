import type { Session } from "../session/session.ts";
import type { Since } from "./channel-log.ts";
import type { Feed } from "./feed.ts";

/** A session in a channel, and how far it has been given what was sent there. */
export class Member {
  readonly session: Session;
  readonly feed: Feed;
  /**
   * It has been given everything up to here. Undefined until it is admitted: nothing is sent to it
   * before it was told where it stands.
   */
  cursor: number | undefined = undefined;
  /** Where it wants to begin; until it is admitted. */
  since: Since | undefined;
  /** Its socket took no more, and it has not caught up since. */
  slow = false;
  /** By how many of its rooms it hears this zone. */
  holds = 1;

  constructor(session: Session, feed: Feed, since: Since) {
    this.session = session;
    this.feed = feed;
    this.since = since;
  }
}
