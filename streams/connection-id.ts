/** Connection ids: `<incarnation>.<counter>`. The incarnation may hold dots, the counter never does. */

export interface ConnectionId {
  incarnation: string;
  counter: number;
}

export function connectionId(incarnation: string, counter: number): string {
  return `${incarnation}.${counter}`;
}

export function parseConnectionId(id: string): ConnectionId {
  const dot = id.lastIndexOf(".");
  return { incarnation: id.slice(0, dot), counter: Number(id.slice(dot + 1)) };
}

/** The incarnation of an access node: `<name>-<when it began, in base 36>`. */
export function incarnationOf(name: string, beganAtMs: number): string {
  return `${name}-${beganAtMs.toString(36)}`;
}
