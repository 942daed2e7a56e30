/** Started by load.ts: up to 10,000 clients in one process, which may hold 20,000 files open. */
import { backoffDelay, DEFAULT_BACKOFF } from "../../../sdk/backoff.ts";
import { answerParent } from "./child.ts";
import { type Ending, LoadClient } from "./load-client.ts";

/**
 * `impatient`: as fast as it can, and at once again after a refusal or a loss.
 * `patient`: as the SDK does it, with growing pauses of full jitter, and not before it is told to.
 */
export type Behaviour = "impatient" | "patient";

export interface LoadCounts {
  /** When this was counted, in Unix milliseconds. */
  atMs: number;
  /** Now. */
  loggedIn: number;
  /** The rest is since the start. */
  attempts: number;
  welcomes: number;
  /** Attempts that ended before their welcome. */
  refusals: number;
  /** Connections that ended after their welcome. */
  losses: number;
  /** Refusals and losses by why. */
  reasons: Record<string, number>;
}

export type LoadProcess = {
  /** Clients begin to connect; one client for each token. */
  begin: {
    ask: {
      port: number;
      tokens: string[];
      behaviour: Behaviour;
      /** Attempts at once; the others wait for their turn. */
      inFlight: number;
      room: string;
      /** Chooses this process's own addresses of 127.0.0.0/8. */
      process: number;
      /** No attempt is begun after so long. */
      seconds: number;
    };
    answer: null;
  };
  counts: { ask: null; answer: LoadCounts };
  /** No attempt any more; those who are in stay. */
  rest: { ask: null; answer: null };
  /** Every socket is destroyed, and nobody comes back. */
  vanish: { ask: null; answer: null };
};

/** How long an impatient client waits for its welcome, and a patient one. */
const GIVES_UP_AFTER_MS = { impatient: 10_000, patient: 20_000 };
const ADDRESSES = 16;

class Load {
  readonly #orders: LoadProcess["begin"]["ask"];
  readonly #clients: LoadClient[];
  /** Who wants to connect, in this order. */
  readonly #waiting: LoadClient[];
  readonly #until: number;
  #first = 0;
  #inFlight = 0;
  #resting = false;
  readonly counts: LoadCounts = {
    atMs: 0,
    loggedIn: 0,
    attempts: 0,
    welcomes: 0,
    refusals: 0,
    losses: 0,
    reasons: {},
  };

  constructor(orders: LoadProcess["begin"]["ask"]) {
    this.#orders = orders;
    this.#until = performance.now() + orders.seconds * 1_000;
    const events = {
      welcomed: () => this.#welcomed(),
      ended: (client: LoadClient, ending: Ending) => this.#ended(client, ending),
    };
    this.#clients = orders.tokens.map((_, index) => new LoadClient(index, events));
    this.#waiting = [...this.#clients];
    this.#fill();
  }

  rest(): void {
    this.#resting = true;
  }

  vanish(): void {
    this.rest();
    for (const client of this.#clients) client.vanish();
    this.counts.loggedIn = 0;
  }

  /** In a turn of its own, so that a refusal that comes at once does not recurse. */
  #planFill = () => void setImmediate(() => this.#fill());

  #fill(): void {
    const { inFlight, port, behaviour, room, tokens } = this.#orders;
    while (this.#inFlight < inFlight && this.#first < this.#waiting.length) {
      if (this.#resting || performance.now() > this.#until) return;
      const client = this.#waiting[this.#first] as LoadClient;
      this.#first += 1;
      this.#inFlight += 1;
      this.counts.attempts += 1;
      client.attempt({
        port,
        token: tokens[client.index] ?? "",
        room,
        localAddress: this.#nextAddress(),
        timeoutMs: GIVES_UP_AFTER_MS[behaviour],
      });
    }
    if (this.#first < 10_000) return;
    this.#waiting.splice(0, this.#first);
    this.#first = 0;
  }

  #nextAddress(): string {
    const own = this.counts.attempts % ADDRESSES;
    return `127.${1 + Math.floor(this.#orders.process / 250)}.${1 + (this.#orders.process % 250)}.${1 + own}`;
  }

  #welcomed(): void {
    this.#inFlight -= 1;
    this.counts.welcomes += 1;
    this.counts.loggedIn += 1;
    this.#planFill();
  }

  #ended(client: LoadClient, { why, welcomed, code, afterMs }: Ending): void {
    const { counts } = this;
    counts.reasons[why] = (counts.reasons[why] ?? 0) + 1;
    if (welcomed) {
      counts.losses += 1;
      counts.loggedIn -= 1;
    } else {
      counts.refusals += 1;
      this.#inFlight -= 1;
    }
    // 4200 and above: do not come back. That is counted, and the client stays away.
    if (code < 4_200) this.#again(client, afterMs);
    this.#planFill();
  }

  #again(client: LoadClient, afterMs: number | undefined): void {
    if (this.#orders.behaviour === "impatient") {
      this.#waiting.push(client);
      return;
    }
    const ownMs = backoffDelay(DEFAULT_BACKOFF, client.failures, Math.random);
    setTimeout(
      () => {
        this.#waiting.push(client);
        this.#fill();
      },
      Math.max(ownMs, afterMs ?? 0),
    );
  }
}

let load: Load | undefined;

answerParent<LoadProcess>({
  begin(orders) {
    load = new Load(orders);
    return null;
  },
  counts() {
    if (load === undefined) throw new Error("no load has begun");
    return { ...load.counts, atMs: Date.now() };
  },
  rest() {
    load?.rest();
    return null;
  },
  vanish() {
    load?.vanish();
    return null;
  },
});
