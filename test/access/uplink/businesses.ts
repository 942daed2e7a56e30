/** Registered businesses of app "shop", and servers that play them. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type HandleUplinkRequest,
  HandleUplinkRequestSchema,
  HandleUplinkResponseSchema,
} from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import { BUSINESS_DEFAULTS, type Business, encodeJson } from "../../../streams/records.ts";
import { businessKey, rpcSubject } from "../../../streams/subjects.ts";
import type { TestNode } from "../node.ts";

export const text = (value: string) => ({ case: "text", value }) as const;

/** Registers a business, or deletes it without `settings`; resolves when the node knows. */
export async function register(
  at: TestNode,
  business: string,
  settings?: Partial<Business>,
): Promise<void> {
  const key = businessKey("shop", business);
  const revision = at.businesses.entries.get(key)?.revision ?? 0;
  const { kind } = await new Promise<{ kind: string }>((done) => {
    if (settings === undefined) at.businesses.delete(key, revision, done);
    else {
      const record = encodeJson({ ...BUSINESS_DEFAULTS, ...settings });
      at.businesses.put(key, record, revision, done);
    }
  });
  if (kind !== "stored") throw new Error(`not registered: ${kind}`);
}

export interface PlayedServer {
  readonly received: HandleUplinkRequest[];
  /** Answers the oldest uplink with this request id that is unanswered. */
  answer(requestId: string, response: Response): void;
  stop(): void;
}

type Response = MessageInitShape<typeof HandleUplinkResponseSchema>;

/** A server on the request subject. Answers with `response`, or when `answer` is called. */
export function serve(at: TestNode, business: string, response?: Response): PlayedServer {
  const received: HandleUplinkRequest[] = [];
  const unanswered: { requestId: string; respond: (response: Response) => void }[] = [];
  const subscription = at.messages.subscribe(
    rpcSubject("shop", business),
    (message) => {
      const request = fromBinary(HandleUplinkRequestSchema, message.data);
      received.push(request);
      const respond = (answer: Response) =>
        message.respond(
          toBinary(HandleUplinkResponseSchema, create(HandleUplinkResponseSchema, answer)),
        );
      if (response !== undefined) respond(response);
      else unanswered.push({ requestId: request.requestId, respond });
    },
    { queue: business },
  );
  return {
    received,
    answer(requestId, answer) {
      const index = unanswered.findIndex((one) => one.requestId === requestId);
      const [found] = unanswered.splice(index, index < 0 ? 0 : 1);
      if (found === undefined) throw new Error(`no uplink ${requestId} is unanswered`);
      found.respond(answer);
    },
    stop: () => subscription.stop(),
  };
}
