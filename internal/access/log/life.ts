/**
 * Whether this node's incarnation is alive, as the log has it, and what the node may do. Pure: time
 * and the log's answers come in with the events, and what is to be done comes out as effects.
 *
 *              link back             not dead
 *      cut ──────────────▶ asking ──────────────▶ certain
 *       ▲                   │  ▲   late, rumour      │
 *       └── link lost ──────┘  └─────────────────────┘        certain ─ link lost ─▶ cut
 *
 * The log alone decides: an owner that misses a node's beats appends that its incarnation is over. So a
 * node that may have missed something, because its link was away or its process stood still, asks the
 * log's leader before it says anything more. It needs nobody else for that, least of all a projector.
 */

interface Knowledge {
  /** The newest question; answers to earlier ones say nothing. */
  question: number;
  /** When it was last heard that somebody has sent the record of this incarnation's end. */
  rumourAtMs: number;
}

export type Life =
  /** No link, since when, and whether that was told as isolation. */
  | (Knowledge & { kind: "cut"; sinceMs: number; isolated: boolean })
  /** Nothing is said in the name of the incarnation until the question is answered. */
  | (Knowledge & { kind: "asking" })
  /** It makes sure of it now and then; `open`: such a question is unanswered. */
  | (Knowledge & { kind: "certain"; open: boolean; askAtMs: number });

export type LifeEvent =
  | { kind: "link"; up: boolean }
  /** The process stood still: what happened meanwhile may still be on its way here. */
  | { kind: "late" }
  /** The record that this incarnation is over is on its way to the log. */
  | { kind: "rumour" }
  | { kind: "answered"; question: number; dead: boolean }
  | { kind: "unanswered"; question: number }
  /** Once a second. */
  | { kind: "tick" };

export type LifeEffect =
  /** Append nothing until `resume` or `begin-again`. */
  | { kind: "hold" }
  | { kind: "ask"; question: number; afterMs: number }
  | { kind: "resume" }
  /** The incarnation is over. The next one is certain: nobody can have declared it dead. */
  | { kind: "begin-again" }
  /** Alone for so long that clients are better off elsewhere; `reunited` when that has ended. */
  | { kind: "isolated" }
  | { kind: "reunited" };

export interface Step {
  life: Life;
  effects: LifeEffect[];
}

const RETRY_MS = 500;
/** A message may get lost, so a node that is certain asks all the same. */
const ASK_EVERY_MS = 30_000;
/** The record is heard of when it is sent; a log without a leader stores it later. */
const RUMOUR_MS = 15_000;
const ASK_AFTER_RUMOUR_MS = 1_000;

/** Nothing is said before the first question is answered. */
export function unborn(up: boolean, nowMs: number): Life {
  const nothing: Knowledge = { question: 0, rumourAtMs: Number.NEGATIVE_INFINITY };
  if (up) return { ...nothing, kind: "asking" };
  return { ...nothing, kind: "cut", sinceMs: nowMs, isolated: false };
}

export function step(life: Life, event: LifeEvent, nowMs: number, isolatedAfterMs: number): Step {
  switch (event.kind) {
    case "link":
      return event.up ? linkBack(life) : linkLost(life, nowMs);
    case "late":
      return life.kind === "cut" ? stay(life) : askAfresh(life);
    case "rumour":
      return rumour(life, nowMs);
    case "answered":
      return answered(life, event, nowMs);
    case "unanswered":
      return unanswered(life, event.question, nowMs);
    case "tick":
      return ticked(life, nowMs, isolatedAfterMs);
  }
}

function stay(life: Life): Step {
  return { life, effects: [] };
}

function ask({ question, rumourAtMs }: Life, afterMs: number, effects: LifeEffect[]): Step {
  const next = question + 1;
  return {
    life: { kind: "asking", question: next, rumourAtMs },
    effects: [...effects, { kind: "ask", question: next, afterMs }],
  };
}

function linkLost(life: Life, nowMs: number): Step {
  if (life.kind === "cut") return stay(life);
  const { question, rumourAtMs } = life;
  return {
    life: { kind: "cut", question, rumourAtMs, sinceMs: nowMs, isolated: false },
    effects: life.kind === "certain" ? [{ kind: "hold" }] : [],
  };
}

function linkBack(life: Life): Step {
  if (life.kind !== "cut") return askAfresh(life);
  return ask(life, 0, life.isolated ? [{ kind: "reunited" }] : []);
}

/** The answer to an earlier question may be older than what has happened since. */
function askAfresh(life: Life): Step {
  return ask(life, 0, life.kind === "certain" ? [{ kind: "hold" }] : []);
}

function rumour(life: Life, nowMs: number): Step {
  const warned = { ...life, rumourAtMs: nowMs };
  return life.kind === "cut" ? stay(warned) : askAfresh(warned);
}

function answered(
  life: Life,
  { question, dead }: { question: number; dead: boolean },
  nowMs: number,
): Step {
  if (life.kind === "cut" || question !== life.question) return stay(life);
  if (dead) {
    const born: Life = {
      kind: "certain",
      question,
      rumourAtMs: Number.NEGATIVE_INFINITY,
      open: false,
      askAtMs: nowMs + ASK_EVERY_MS,
    };
    return { life: born, effects: [{ kind: "begin-again" }] };
  }
  const { rumourAtMs } = life;
  const inMs = nowMs - rumourAtMs < RUMOUR_MS ? ASK_AFTER_RUMOUR_MS : ASK_EVERY_MS;
  return {
    life: { kind: "certain", question, rumourAtMs, open: false, askAtMs: nowMs + inMs },
    effects: life.kind === "asking" ? [{ kind: "resume" }] : [],
  };
}

function unanswered(life: Life, question: number, nowMs: number): Step {
  if (question !== life.question) return stay(life);
  switch (life.kind) {
    case "cut":
      return stay(life);
    case "asking":
      return ask(life, RETRY_MS, []);
    case "certain":
      return stay({ ...life, open: false, askAtMs: nowMs + RETRY_MS });
  }
}

function ticked(life: Life, nowMs: number, isolatedAfterMs: number): Step {
  if (life.kind === "cut" && !life.isolated && nowMs - life.sinceMs >= isolatedAfterMs) {
    return { life: { ...life, isolated: true }, effects: [{ kind: "isolated" }] };
  }
  if (life.kind === "certain" && !life.open && nowMs >= life.askAtMs) {
    const question = life.question + 1;
    return {
      life: { ...life, question, open: true },
      effects: [{ kind: "ask", question, afterMs: 0 }],
    };
  }
  return stay(life);
}
