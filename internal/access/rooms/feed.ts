/**
 * One channel that is open on this node: its log, its members and the subscription that serves them all.
 * What to do is decided by channel-log.ts; this does it.
 */
import { type Channel, channelLiveSubject } from "../../../streams/subjects.ts";
import type { ChannelHistory, Link, Messages, Received, Subscription } from "../../bus/contract.ts";
import type { Clock, Timer } from "../../clock/clock.ts";
import type { WheelEntry } from "../../clock/wheel.ts";
import { Priority } from "../session/priority.ts";
import { ChannelLog, MOST_TRIES, type Page, type Reading, type Since } from "./channel-log.ts";
import { Entry } from "./entry.ts";
import type { Member, RoomSession } from "./member.ts";
import { afterMessage, afterRound, newPace, type Pace, waitMs } from "./pace.ts";
import { Parcel } from "./parcel.ts";
import type { Readings } from "./readings.ts";
import { gathers, NO_RULES, type RoomRules, wanted } from "./rules.ts";
import type { Job, Turns } from "./turns.ts";

/** The headers in which the server tells the place of what it republishes. */
const SEQUENCE_HEADER = "Nats-Sequence";
const PREVIOUS_HEADER = "Nats-Last-Sequence";

/** With this much gathered, a window ends at once. */
const FULL_BYTES = 32_768;
/** Members that are served between two looks at the clock. */
const STEP_MEMBERS = 16;
/** Pages of the past that are kept for members who stand in them. */
const MOST_PAGES = 4;
/** The first wait before the stream is asked again. It grows with each failure. */
const RETRY_MS = 50;
const MOST_RETRY_MS = 1_000;

/** What the feeds of a node share. */
export interface FeedServices {
  readonly messages: Messages;
  readonly history: ChannelHistory;
  readonly readings: Readings;
  readonly turns: Turns;
  readonly clock: Clock;
  readonly link: Link;
  /** What a member is given in one go. */
  readonly parcelBytes: number;
  /** With more than this to give to a slow member, messages of low priority are left out. */
  readonly softLimitBytes: number;
  /** What the ring of one channel may take now. */
  ringBytes(): number;
  /** Called with each message that comes live. */
  count(): void;
  failed(error: unknown): void;
  /** The member was admitted, or has lost messages: it is told where it stands, before it gets more. */
  stands(member: Member, position: number, recovered: boolean): void;
  /** Messages of low priority were left out. */
  skipped(member: Member, after: number, upTo: number, count: number): void;
  /** There is more for the session than its socket takes. */
  behind(session: RoomSession): void;
  /** Nobody has been in it for a while. */
  deserted(feed: Feed): void;
}

export class Feed implements Job, WheelEntry {
  readonly channel: Channel;
  readonly members = new Set<Member>();
  /** Of a room: what its app has set for it. */
  rules: RoomRules = NO_RULES;
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;
  readonly #services: FeedServices;
  readonly #subscription: Subscription;
  readonly #log = new ChannelLog();
  /** Members are given what is up to here. */
  #goal = 0;
  /** By where they begin. */
  readonly #parcels = new Map<number, Parcel>();
  #pages: Page[] = [];
  /** Those who wait for an answer of the stream: to be admitted, or for what is not in the ring. */
  readonly #waiting = new Set<Member>();
  #asking = false;
  /** When the log was known to be complete. */
  #heardAtMs = 0;
  #failures = 0;
  /** Answers in a row about the past of a copy that lags behind. */
  #agains = 0;
  #closed = false;
  /** The members that are still to be served in this round. */
  #round: Iterator<Member> | undefined;
  #roundGoal = 0;
  #roundAtMs = 0;
  #pace: Pace;
  /** Ends the present window; undefined when nothing waits. */
  #window: Timer | undefined;

  constructor(channel: Channel, services: FeedServices) {
    this.channel = channel;
    this.#services = services;
    this.#pace = newPace(services.clock.monotonic());
    // First the subscription, then the question: what is sent after the answer arrives by the first.
    this.#subscription = services.messages.subscribe(channelLiveSubject(channel), (received) =>
      this.#receive(received),
    );
    this.#ask();
  }

  get epoch(): number {
    return this.#log.epoch;
  }

  /** Whether admitting a member that begins there takes a question to the stream. */
  asksFor(since: Since): boolean {
    if (this.#log.epoch === 0) return true;
    const admission = this.#log.admission(since);
    return (
      admission === "ask" || (admission === "read" && this.#pageAt(since.position) === undefined)
    );
  }

  join(member: Member): void {
    this.members.add(member);
    this.#admit(member);
  }

  remove(member: Member): void {
    this.members.delete(member);
    this.#waiting.delete(member);
  }

  /** A member that is in it already asks where it stands, or for what it has missed, again. */
  again(member: Member, since: Since): void {
    // The answer that is on its way answers this too.
    if (member.cursor === undefined) return;
    if (since.position === 0) {
      this.#services.stands(member, member.cursor, false);
      return;
    }
    member.cursor = undefined;
    member.since = since;
    this.#waiting.delete(member);
    this.#admit(member);
  }

  /** The link to the stream was away, or the stream is another. */
  doubt(): void {
    this.#log.doubt();
    this.#ask();
  }

  /**
   * Nothing was heard of the channel for a while, and the stream has come to `last`. Between the servers
   * of a cluster a message can get lost without a break of the link, and then only the next one shows it.
   */
  audit(last: number, quietMs: number): boolean {
    const quiet = this.#services.clock.monotonic() - this.#heardAtMs >= quietMs;
    if (!quiet || this.members.size === 0 || last <= this.#log.streamLast) return false;
    this.doubt();
    return true;
  }

  /** How much there is that the member has not been given: without bound when not all of it is here. */
  bytesFor({ cursor }: Member): number {
    if (cursor === undefined || cursor >= this.#goal) return 0;
    const { ring } = this.#log;
    return ring.reaches(cursor) ? ring.bytesAbove(cursor) : Number.POSITIVE_INFINITY;
  }

  lacks(member: Member): boolean {
    return member.cursor !== undefined && member.cursor < this.#goal;
  }

  /** Gives the member what it has not been given, as long as its socket takes it. */
  serve(member: Member): void {
    const { session } = member;
    try {
      while (member.cursor !== undefined && member.cursor < this.#goal) {
        if (!session.clear) {
          member.slow = true;
          this.#services.behind(session);
          return;
        }
        const parcel = this.#parcelAt(member.cursor);
        if (parcel === undefined) {
          this.#wait(member);
          return;
        }
        this.#give(member, parcel);
      }
      member.slow = false;
    } catch (error) {
      session.fault(error);
    }
  }

  step(): boolean {
    this.#round ??= this.#newRound();
    for (let i = 0; i < STEP_MEMBERS; i += 1) {
      const { value, done } = this.#round.next();
      if (done) {
        this.#round = undefined;
        this.#pace = afterRound(this.#pace, this.#services.clock.monotonic() - this.#roundAtMs);
        return this.#roundGoal < this.#goal;
      }
      this.serve(value);
    }
    return true;
  }

  due(): void {
    if (this.members.size === 0) this.#services.deserted(this);
  }

  close(): void {
    this.#closed = true;
    this.#window?.cancel();
    this.#subscription.stop();
    this.#services.turns.stop(this);
  }

  #receive(received: Received): void {
    const { count, failed } = this.#services;
    const position = Number(received.header(SEQUENCE_HEADER) ?? 0);
    if (position === 0) return; // not of the stream
    count();
    this.#heardAtMs = this.#services.clock.monotonic();
    const previous = Number(received.header(PREVIOUS_HEADER) ?? 0);
    const entry = Entry.of({ position, previous }, received.data, failed);
    this.#log.received(entry);
    if (this.#mayWait(entry)) this.#moveLater();
    else this.#moved();
    this.#ask();
  }

  /** Whether what has come may wait for more of the same window. */
  #mayWait({ priority }: Entry): boolean {
    const { clock } = this.#services;
    this.#pace = afterMessage(this.#pace, clock.monotonic());
    if (!gathers(this.rules) || priority === Priority.HIGH || waitMs(this.#pace) === 0)
      return false;
    return this.#log.ring.bytesAbove(this.#goal, FULL_BYTES) < FULL_BYTES;
  }

  #moveLater(): void {
    this.#window ??= this.#services.clock.after(waitMs(this.#pace), () => this.#moved());
  }

  /** The log may have come further: from now on members are given that. */
  #moved(): void {
    this.#window?.cancel();
    this.#window = undefined;
    const { ring, head } = this.#log;
    if (head <= this.#goal) return;
    ring.trim(this.#services.ringBytes());
    this.#goal = head;
    this.#parcels.clear();
    if (this.members.size > 0) this.#services.turns.run(this);
  }

  #newRound(): Iterator<Member> {
    this.#roundGoal = this.#goal;
    this.#roundAtMs = this.#services.clock.monotonic();
    return this.members.values();
  }

  #give(member: Member, parcel: Parcel): void {
    const { softLimitBytes, skipped } = this.#services;
    const { session } = member;
    const thin = member.slow && this.bytesFor(member) > softLimitBytes;
    const given = thin ? parcel.thinned : parcel;
    const left = parcel.entries.length - given.entries.length;
    if (left > 0) skipped(member, parcel.after, parcel.upTo, left);
    member.cursor = parcel.upTo;
    session.give(given);
  }

  /** What comes after this place; undefined when the stream has to be asked for it. */
  #parcelAt(position: number): Parcel | undefined {
    const known = this.#parcels.get(position);
    if (known !== undefined) return known;
    const page = this.#pageAt(position);
    const goal = page === undefined ? this.#goal : Math.min(page.upTo, this.#goal);
    const entries = (page ?? this.#log.ring).range(position, goal, this.#services.parcelBytes);
    if (entries === undefined) return undefined;
    const end = upTo(entries, goal);
    const parcel = new Parcel(position, end, wanted(entries, this.rules), this.members.size);
    this.#parcels.set(position, parcel);
    return parcel;
  }

  /** Of the past, when the ring does not go back so far. */
  #pageAt(position: number): Page | undefined {
    if (this.#log.ring.reaches(position)) return undefined;
    return this.#pages.find((page) => page.covers(position));
  }

  #wait(member: Member): void {
    this.#waiting.add(member);
    this.#ask();
  }

  /** Lets the member begin where it may; or it waits until the stream has answered. */
  #admit(member: Member): void {
    const { since } = member;
    if (since === undefined) return;
    if (this.#log.epoch === 0) {
      this.#wait(member);
      return;
    }
    switch (this.#log.admission(since)) {
      case "recovered":
        this.#begin(member, since.position, true);
        break;
      case "fresh":
        this.#begin(member, this.#log.head, false);
        break;
      case "read":
        if (this.#pageAt(since.position) === undefined) this.#wait(member);
        else this.#begin(member, since.position, true);
        break;
      case "ask":
        this.#log.doubt();
        this.#wait(member);
        break;
    }
  }

  #begin(member: Member, cursor: number, recovered: boolean): void {
    member.since = undefined;
    this.#waiting.delete(member);
    this.#stand(member, cursor, recovered);
    this.serve(member);
  }

  /** In this order: being told may end the session, and take the member out. */
  #stand(member: Member, cursor: number, recovered: boolean): void {
    member.cursor = cursor;
    // A member may know more than this node does yet.
    this.#services.stands(member, Math.max(cursor, this.#log.head), recovered);
  }

  /** One question at a time: what the log needs comes first, then those who wait for the past. */
  #ask(): void {
    const { link } = this.#services;
    // When it comes back, there is doubt, and so a question.
    if (this.#asking || this.#closed || !link.connected) return;
    const question = this.#log.question;
    if (question?.kind === "newest") void this.#askNewest();
    else if (question?.kind === "read") void this.#askRead(question.after, question.exact);
    else {
      const after = this.#earliestWanted();
      if (after !== undefined) void this.#askPage(after);
    }
  }

  async #askNewest(): Promise<void> {
    const { history } = this.#services;
    const askedAt = this.#log.head;
    await this.#question(
      () => history.newest(this.channel),
      (newest) => {
        this.#heardAtMs = this.#services.clock.monotonic();
        if (this.#log.learned(newest, askedAt)) this.#begunAnew();
        this.#moved();
        // Whoever asked for what nobody knows is beyond the end.
        for (const member of [...this.#waiting]) this.#admitted(member);
        return true;
      },
    );
  }

  async #askRead(after: number, exact: boolean): Promise<void> {
    await this.#question(
      () => this.#read(after, exact),
      (reading) => {
        const settled = this.#log.read(reading, exact);
        this.#moved();
        return settled;
      },
    );
  }

  async #askPage(after: number): Promise<void> {
    const exact = this.#agains >= MOST_TRIES;
    await this.#question(
      () => this.#read(after, exact),
      (reading) => {
        const judgement = this.#log.judge(reading);
        switch (judgement.kind) {
          case "again":
            this.#agains += 1;
            // What the leader does not have was deleted by hand.
            if (!exact || reading.epoch !== this.epoch) return false;
            this.#agains = 0;
            this.#lost(after + 1);
            return true;
          case "gone":
            this.#lost(judgement.below);
            return true;
          case "page":
            this.#agains = 0;
            this.#serveFrom(judgement.page);
            return true;
        }
      },
    );
  }

  async #read(after: number, exact: boolean): Promise<Reading> {
    const { history, failed } = this.#services;
    const past = await history.read(this.channel, after, exact);
    const { epoch, messages, wholeFrom, more } = past;
    const entries = messages.map(({ position, data }) =>
      Entry.of({ position, previous: 0 }, data, failed),
    );
    return { after, epoch, entries, wholeFrom, more };
  }

  /** `answered` says whether it was worth asking; else the next question waits a moment. */
  async #question<Answer>(
    ask: () => Promise<Answer>,
    answered: (answer: Answer) => boolean,
  ): Promise<void> {
    const { readings, failed, clock } = this.#services;
    this.#asking = true;
    let good = false;
    try {
      const answer = await readings.run(ask);
      good = this.#closed || answered(answer);
    } catch (error) {
      failed(error);
    }
    this.#failures = good ? 0 : this.#failures + 1;
    if (good) this.#askNext();
    else {
      const waitMs = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** (this.#failures - 1));
      clock.after(waitMs, () => this.#askNext());
    }
  }

  #askNext(): void {
    this.#asking = false;
    this.#ask();
  }

  /** The lowest place from which somebody waits for the past: one page serves all that stand near it. */
  #earliestWanted(): number | undefined {
    let earliest: number | undefined;
    for (const { cursor, since } of this.#waiting) {
      const place = cursor ?? since?.position ?? 0;
      if (earliest === undefined || place < earliest) earliest = place;
    }
    return earliest;
  }

  #serveFrom(page: Page): void {
    this.#pages = [...this.#pages, page].slice(-MOST_PAGES);
    this.#parcels.clear();
    for (const member of [...this.#waiting]) {
      if (member.cursor === undefined) {
        this.#admit(member);
      } else if (this.#parcelAt(member.cursor) !== undefined) {
        this.#waiting.delete(member);
        this.serve(member);
      }
    }
  }

  /** After an answer about the newest: nobody has to ask a second time. */
  #admitted(member: Member): void {
    const { since } = member;
    if (since === undefined) return;
    if (this.#log.admission(since) === "ask") this.#begin(member, this.#log.head, false);
    else this.#admit(member);
  }

  /** What lies between those who wait below this place and the ring is gone. */
  #lost(below: number): void {
    for (const member of [...this.#waiting]) {
      const place = member.cursor ?? member.since?.position ?? 0;
      if (place < below) this.#begin(member, this.#log.head, false);
    }
  }

  /** The stream was made anew, or set back: what everybody has says nothing any more. */
  #begunAnew(): void {
    this.#pages = [];
    this.#parcels.clear();
    this.#goal = this.#log.head;
    for (const member of [...this.members]) {
      if (member.cursor !== undefined) this.#begin(member, this.#log.head, false);
    }
  }
}

function upTo(entries: readonly Entry[], goal: number): number {
  // When it was cut off, it ends with its last entry. An entry at the goal is the last one anyway.
  const last = entries.at(-1);
  return last === undefined ? goal : last.position;
}
