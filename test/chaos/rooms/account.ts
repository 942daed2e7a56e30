/** What one member has been given, by channel, for the check at the end. */
export interface MemberReport {
  member: string;
  channels: Record<string, ChannelReport>;
}

export interface ChannelReport {
  /** The numbers of the messages, in the order they came. */
  numbers: number[];
  /** Messages whose position was not above the one before. */
  disorder: number;
  /** How often it was told that messages are lost. */
  gaps: number;
}

/** Each message says which of its channel's it is: "room 17". */
export function textOf(channel: string, number: number): string {
  return `${channel} ${number}`;
}

export class Account {
  readonly member: string;
  readonly #channels = new Map<string, ChannelReport & { position: bigint }>();

  constructor(member: string) {
    this.member = member;
  }

  message(text: string, position: bigint): void {
    const [channel = "", number = ""] = text.split(" ");
    const known = this.#of(channel);
    if (position <= known.position) known.disorder += 1;
    known.position = position;
    known.numbers.push(Number(number));
  }

  get count(): number {
    return [...this.#channels.values()].reduce((sum, { numbers }) => sum + numbers.length, 0);
  }

  gap(channel: string): void {
    this.#of(channel).gaps += 1;
  }

  report(): MemberReport {
    const channels: Record<string, ChannelReport> = {};
    for (const [channel, { numbers, disorder, gaps }] of this.#channels) {
      channels[channel] = { numbers, disorder, gaps };
    }
    return { member: this.member, channels };
  }

  #of(channel: string): ChannelReport & { position: bigint } {
    let known = this.#channels.get(channel);
    if (known === undefined) {
      known = { numbers: [], disorder: 0, gaps: 0, position: 0n };
      this.#channels.set(channel, known);
    }
    return known;
  }
}

export interface Verdict {
  problems: string[];
  /** Messages that members had to get, over all members, and how many of them they got. */
  wanted: number;
  received: number;
}

/**
 * `sent`: by channel, the numbers that the push API says were sent. A number that it does not say so of may
 * have been stored all the same: then everybody has it or nobody.
 */
export function check(reports: readonly MemberReport[], sent: Record<string, number[]>): Verdict {
  const problems: string[] = [];
  let wanted = 0;
  let received = 0;
  for (const [channel, numbers] of Object.entries(sent)) {
    const must = new Set(numbers);
    for (const { channels } of reports) {
      for (const number of channels[channel]?.numbers ?? []) must.add(number);
    }
    for (const { member, channels } of reports) {
      const { numbers: got, disorder, gaps } = channels[channel] ?? NOTHING;
      const once = new Set(got);
      const lost = [...must].filter((number) => !once.has(number));
      wanted += must.size;
      received += once.size;
      const who = `${member} in ${channel}`;
      if (lost.length > 0)
        problems.push(`${who}: lost ${lost.length}, such as ${lost.slice(0, 3)}`);
      if (got.length > once.size) problems.push(`${who}: ${got.length - once.size} came twice`);
      if (disorder > 0) problems.push(`${who}: ${disorder} out of order`);
      if (gaps > 0) problems.push(`${who}: was told ${gaps} times that messages are lost`);
    }
  }
  return { problems, wanted, received };
}

const NOTHING: ChannelReport = { numbers: [], disorder: 0, gaps: 0 };
