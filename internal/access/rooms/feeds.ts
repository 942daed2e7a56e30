import type { Channel } from "../../../streams/subjects.ts";
import type { ChannelHistory, Link } from "../../bus/contract.ts";
import type { Clock, Timer } from "../../clock/clock.ts";
import type { Wheel } from "../../clock/wheel.ts";
import { Feed, type FeedServices } from "./feed.ts";

/** A channel is heard for so long after its last member has gone: many come back. */
const KEPT_MS = 30_000;
/** Channels that are looked up after a while of silence, at most, in one check. */
const AUDITS = 500;
/** After so many checks without a message. */
const SILENT_CHECKS = 3;
/** What the rings of a node take together, and one of them at least. */
const RINGS_BYTES = 67_108_864;
const LEAST_RING_BYTES = 4_096;

export interface FeedsOptions {
  services: Omit<FeedServices, "ringBytes" | "deserted">;
  history: ChannelHistory;
  link: Link;
  clock: Clock;
  wheel: Wheel;
  mostRingBytes: number;
  /** How often the stream is asked whether it is still the one that it was, and how far it has come. */
  checkMs: number;
  /** A room has its first member here, or has lost its last. */
  roomsChanged(by: 1 | -1): void;
}

/** The channels that are open on this node. */
export class Feeds {
  readonly #options: FeedsOptions;
  readonly #services: FeedServices;
  readonly #apps = new Map<string, Map<string, Feed>>();
  readonly #stops: (() => void)[];
  #count = 0;
  #epoch = 0;
  #auditing = this.#all();

  constructor(options: FeedsOptions) {
    this.#options = options;
    this.#services = {
      ...options.services,
      ringBytes: () => this.#ringBytes(),
      deserted: (feed) => this.#close(feed),
    };
    const watch = options.link.watch((connected) => connected && this.#doubtAll());
    const check: Timer = options.clock.every(options.checkMs, () => void this.#check());
    this.#stops = [() => watch.stop(), () => check.cancel()];
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  /** Undefined when it is not open. */
  find(channel: Channel): Feed | undefined {
    return this.#apps.get(channel.app)?.get(keyOf(channel));
  }

  /** Opens it, or keeps it open. */
  open(channel: Channel): Feed {
    const known = this.find(channel);
    if (known !== undefined) return known;
    const feed = new Feed(channel, this.#services);
    let feeds = this.#apps.get(channel.app);
    if (feeds === undefined) {
      feeds = new Map();
      this.#apps.set(channel.app, feeds);
    }
    feeds.set(keyOf(channel), feed);
    this.#count += 1;
    return feed;
  }

  /** Call it before a member is added. */
  entering(feed: Feed): void {
    if (feed.members.size > 0) return;
    this.#options.wheel.remove(feed);
    if (feed.channel.kind === "room") this.#options.roomsChanged(1);
  }

  /** Call it after a member is removed. */
  left(feed: Feed): void {
    if (feed.members.size > 0) return;
    this.#options.wheel.schedule(feed, KEPT_MS);
    if (feed.channel.kind === "room") this.#options.roomsChanged(-1);
  }

  #ringBytes(): number {
    const share = RINGS_BYTES / Math.max(1, this.#count);
    return Math.min(this.#options.mostRingBytes, Math.max(LEAST_RING_BYTES, share));
  }

  #close(feed: Feed): void {
    const { channel } = feed;
    const feeds = this.#apps.get(channel.app);
    if (!feeds?.delete(keyOf(channel))) return;
    if (feeds.size === 0) this.#apps.delete(channel.app);
    this.#count -= 1;
    this.#options.wheel.remove(feed);
    feed.close();
  }

  /** Something may have passed unheard. Who has no members is not worth a question. */
  #doubtAll(): void {
    for (const feeds of [...this.#apps.values()]) {
      for (const feed of [...feeds.values()]) {
        if (feed.members.size === 0) this.#close(feed);
        else feed.doubt();
      }
    }
  }

  async #check(): Promise<void> {
    const { history, link, services } = this.#options;
    if (this.#count === 0 || !link.connected) return;
    try {
      const { epoch, last } = await history.state();
      const anew = this.#epoch !== 0 && epoch !== this.#epoch;
      this.#epoch = epoch;
      if (anew) this.#doubtAll();
      else this.#audit(last);
    } catch (error) {
      services.failed(error);
    }
  }

  /** Goes on where the last one ended, so that every channel has its turn. */
  #audit(last: number): void {
    let left = AUDITS;
    for (let looked = 0; looked < this.#count && left > 0; looked += 1) {
      const { value: feed } = this.#auditing.next();
      if (feed === undefined) this.#auditing = this.#all();
      else if (feed.audit(last, SILENT_CHECKS * this.#options.checkMs)) left -= 1;
    }
  }

  *#all(): Generator<Feed, undefined> {
    for (const feeds of this.#apps.values()) yield* feeds.values();
    return undefined;
  }
}

function keyOf(channel: Channel): string {
  return channel.kind === "all" ? channel.kind : `${channel.kind}/${channel.id}`;
}
