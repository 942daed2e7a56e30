/**
 * What each user of the NATS server may do. Whoever can read the bucket `hf_key` can forge tokens, and
 * whoever can name a consumer can read through it: so only subjects that say whose they are are given out.
 */
import { STATE_STREAM, UPLINK_STREAM } from "../../streams/layout.ts";
import {
  appStateFilter,
  businessInboxPrefix,
  GATEWAY_INBOX_PREFIX,
  rpcSubject,
  STATE_SCOPES,
  stateConsumer,
  stateScopeFilter,
  uplinkConsumer,
  uplinkSubject,
} from "../../streams/subjects.ts";

export interface Permissions {
  readonly publish?: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
  readonly subscribe?: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
  readonly allow_responses?: { readonly max: number; readonly expires: string };
}

export interface BusinessName {
  readonly app: string;
  readonly business: string;
}

/** How many instances of a business may each follow all state events with a consumer of their own. */
export const INSTANCES = 8;

/** "Taken", and the answer. */
const ANSWERS = 2;
/** The longest `timeout_ms` of a business is a minute. */
const ANSWER_WITHIN = "2m";

/**
 * Of one business: its own uplinks and requests, and what happens to its app. A consumer has a fixed name, because a
 * name that could be chosen could be that of another business's consumer, and its filter is part of the
 * subject that makes it. Receipts are many apps' to a page, so there are none here: GetMessage tells.
 */
export function businessPermissions({ app, business }: BusinessName): Permissions {
  const consumers = [
    ...ofConsumer(UPLINK_STREAM, uplinkConsumer(app, business), uplinkSubject(app, business)),
    ...STATE_SCOPES.flatMap((scope) => {
      const filter = stateScopeFilter(app, business, scope);
      const instances = Array.from({ length: INSTANCES }, (_, index) => String(index + 1));
      return [undefined, ...instances].flatMap((instance) =>
        ofConsumer(STATE_STREAM, stateConsumer(app, business, scope, instance), filter),
      );
    }),
  ];
  return {
    publish: { allow: ["$JS.API.INFO", ...consumers] },
    subscribe: {
      allow: [
        rpcSubject(app, business),
        appStateFilter(app),
        // What is sent to other inboxes is for others: the gateway's own carry the buckets.
        `${businessInboxPrefix(app, business)}.>`,
      ],
    },
    // Of requests. Those who ask name the inbox, so it is in no list.
    allow_responses: { max: ANSWERS, expires: ANSWER_WITHIN },
  };
}

function ofConsumer(stream: string, name: string, filter: string): string[] {
  const api = "$JS.API.CONSUMER";
  return [
    `${api}.CREATE.${stream}.${name}.${filter}`,
    `${api}.INFO.${stream}.${name}`,
    `${api}.MSG.NEXT.${stream}.${name}`,
    `${api}.DELETE.${stream}.${name}`,
    `$JS.ACK.${stream}.${name}.>`,
  ];
}

/** The buckets whose values are secrets: our signing keys; apps, with the secrets they sign tokens with. */
const SECRET_BUCKETS = ["hf_key", "hf_app"];

/**
 * Of programs on the machine of an embedded server that name no user: everything but the secret buckets and
 * what leads to them. A stream that is made or changed could copy them, so streams are the gateway's.
 */
export function localPermissions(): Permissions {
  const api = "$JS.API";
  const publish = SECRET_BUCKETS.flatMap((bucket) => {
    const stream = `KV_${bucket}`;
    return [
      `$KV.${bucket}.>`,
      `${api}.STREAM.*.${stream}`,
      `${api}.STREAM.*.*.${stream}`,
      `${api}.STREAM.*.*.${stream}.>`,
      `${api}.DIRECT.GET.${stream}`,
      `${api}.DIRECT.GET.${stream}.>`,
      `${api}.CONSUMER.*.${stream}`,
      `${api}.CONSUMER.*.${stream}.>`,
      `${api}.CONSUMER.*.*.${stream}`,
      `${api}.CONSUMER.*.*.${stream}.>`,
      `$JS.ACK.${stream}.>`,
    ];
  });
  const making = ["CREATE", "UPDATE", "RESTORE"].map((what) => `${api}.STREAM.${what}.>`);
  const subscribe = SECRET_BUCKETS.map((bucket) => `$KV.${bucket}.>`);
  return {
    publish: { deny: [...publish, ...making] },
    subscribe: { deny: [...subscribe, `${GATEWAY_INBOX_PREFIX}.>`] },
  };
}
