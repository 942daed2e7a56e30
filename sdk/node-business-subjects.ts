/** The subjects of the gateway that a business server uses. docs/BUSINESS.md has them for other languages. */

export const UPLINK_STREAM = "HF_UPLINK";
export const STATE_STREAM = "HF_STATE";
/** A header: the business has the uplink, and answers later. */
export const TAKEN_HEADER = "Holdfast-Taken";

/** An id as one token of a subject: as it is when it is plain, else "-" and base64url. */
export function token(id: string): string {
  return /^[A-Za-z0-9_]{1,64}$/.test(id) ? id : `-${Buffer.from(id).toString("base64url")}`;
}

/** No token holds "=". "_" joins those without one: app "a_b" and its "c" are not app "a" and its "b_c". */
function consumerName(kind: string, app: string, business: string): string {
  const parts = [token(app), token(business)];
  return [kind, ...parts].join(parts.some((part) => part.includes("_")) ? "=" : "_");
}

/** The durable consumer of a business's uplinks. */
export const storedConsumer = (app: string, business: string) => consumerName("up", app, business);

/** The consumer of state events: the one that the instances share, or that of one instance. */
export function stateConsumer(
  app: string,
  business: string,
  scope: StateScope,
  instance?: string,
): string {
  const shared = consumerName(`state_${scope}`, app, business);
  return instance === undefined ? shared : `${shared}=${instance}`;
}

/** Where answers to a business server of these names go. */
export const inboxPrefix = (app: string, business: string) =>
  `_INBOX_${token(app)}.${token(business)}`;

export const requestSubject = (app: string, business: string) =>
  `hf.rpc.${token(app)}.${token(business)}`;

export const storedSubject = (app: string, business: string) =>
  `hf.up.${token(app)}.${token(business)}`;

/** What `onState` may follow. */
export type StateScope =
  /** The devices that said at their login that they use this business. */
  | "business"
  /** Every device of the app. */
  | "app"
  /** Who enters and leaves the rooms of the app. */
  | "rooms";

export function stateFilter(app: string, business: string, scope: StateScope): string {
  switch (scope) {
    case "business":
      return `hf.state.${token(app)}.business.${token(business)}.>`;
    case "app":
      return `hf.state.${token(app)}.conn.>`;
    case "rooms":
      return `hf.state.${token(app)}.room.>`;
  }
}
