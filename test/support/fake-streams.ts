import type { StreamState, Streams } from "../../internal/bus/contract.ts";

/** Streams that say of themselves what a test says. */
export class FakeStreams implements Pick<Streams, "state" | "sizeAt"> {
  readonly states = new Map<string, StreamState>();
  /** How long every message is. */
  size = 0;
  asked = 0;

  say(stream: string, state: Partial<StreamState>): void {
    const empty = { messages: 0, bytes: 0, maxBytes: -1, firstSequence: 1, lastSequence: 0 };
    this.states.set(stream, { ...empty, subjects: new Map(), ...state });
  }

  async state(stream: string): Promise<StreamState> {
    this.asked += 1;
    if (!this.states.has(stream)) this.say(stream, {});
    return this.states.get(stream)!;
  }

  async sizeAt(): Promise<number> {
    return this.size;
  }
}
