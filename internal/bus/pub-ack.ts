/** JetStream's answer to a publish, read without parsing JSON when it is a plain success. */

/** Why JetStream did not store a message. */
export interface AckError {
  /** Like an HTTP status; 503: no stream listens to the subject, or it has no leader. */
  readonly status: number;
  /** JetStream's error number, 0 when there is none. */
  readonly code: number;
  readonly description: string;
  /** "" when no stream answered. */
  readonly stream: string;
}

const QUOTE = 0x22;
const ZERO = 0x30;
const NINE = 0x39;
const SUCCESS_START = Buffer.from('{"stream":"');
const SEQUENCE_KEY = Buffer.from('"seq":');

/** The sequence a message was stored as, or why it was not. */
export function parsePubAck(data: Uint8Array): number | AckError {
  const sequence = scanSequence(data);
  return sequence > 0 ? sequence : parseSlowly(data);
}

const BRACE = 0x7d;
const E = 0x65;

/** Whether a success says that the message was there before: `{"stream":"…","seq":12,"duplicate": true}`. */
export function isDuplicate(data: Uint8Array): boolean {
  const { length } = data;
  // Ends like "true}": else there is nothing to look for, which is the usual case.
  if (data[length - 1] !== BRACE || data[length - 2] !== E) return false;
  return Buffer.from(data.buffer, data.byteOffset, length).includes('"duplicate"');
}

/**
 * `{"stream":"HF_LOG_0","seq":12}` → 12, and 0 for whatever else. Errors begin with another key,
 * and stream names hold no quotes.
 */
function scanSequence(data: Uint8Array): number {
  for (let i = 0; i < SUCCESS_START.length; i++) {
    if (data[i] !== SUCCESS_START[i]) return 0;
  }
  const nameEnd = data.indexOf(QUOTE, SUCCESS_START.length);
  for (let at = nameEnd + 1; nameEnd !== -1 && at < data.length; at++) {
    if (data[at] === QUOTE && startsAt(data, at, SEQUENCE_KEY)) {
      return digitsAt(data, at + SEQUENCE_KEY.length);
    }
  }
  return 0;
}

function startsAt(data: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) {
    if (data[at + i] !== wanted[i]) return false;
  }
  return true;
}

function digitsAt(data: Uint8Array, start: number): number {
  let value = 0;
  for (let at = start; at < data.length; at++) {
    const digit = data[at] ?? 0;
    if (digit < ZERO || digit > NINE) break;
    value = value * 10 + (digit - ZERO);
  }
  return value;
}

interface PubAckJson {
  error?: { code?: number; err_code?: number; description?: string };
  seq?: number;
  stream?: string;
}

function parseSlowly(data: Uint8Array): number | AckError {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString();
  let answer: PubAckJson | undefined;
  try {
    answer = JSON.parse(text);
  } catch {
    // Falls through: not an answer of JetStream.
  }
  if (answer?.error === undefined && answer?.seq) return answer.seq;
  return {
    status: answer?.error?.code ?? 500,
    code: answer?.error?.err_code ?? 0,
    description:
      answer?.error?.description ?? `not a publish acknowledgement: ${text.slice(0, 80)}`,
    stream: answer?.stream ?? "",
  };
}
