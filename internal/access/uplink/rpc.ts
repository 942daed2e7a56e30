import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { fromBinary } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  BusinessService,
  HandleUplinkRequestSchema,
} from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Business } from "../../../streams/records.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { Caller } from "./guarded.ts";
import { outcome, outcomeOf, refusal, type UplinkOutcome } from "./outcome.ts";

/** What a response has besides the payload: the reason of a refusal, the encoding. */
const ENVELOPE_BYTES = 8_192;
const IDLE_MS = 60_000;
const BUSY_RETRY_MS = 1_000;

/**
 * BusinessService at a URL. Redirects are not followed and answers not decompressed, because the address
 * and the size of what comes are for the registry to say, and certificates are verified.
 */
export class RpcCaller implements Caller {
  readonly #client: Client<typeof BusinessService>;
  readonly #maxReplyBytes: number;
  readonly #close: () => void;

  constructor(settings: Business) {
    const { transport, close } = openTransport(settings);
    this.#client = createClient(BusinessService, transport);
    this.#maxReplyBytes = settings.maxReplyBytes;
    this.#close = close;
  }

  async call(request: Uint8Array, timeoutMs: number): Promise<UplinkOutcome> {
    const message = fromBinary(HandleUplinkRequestSchema, request);
    try {
      const response = await this.#client.handleUplink(message, { timeoutMs });
      return outcomeOf(response, this.#maxReplyBytes);
    } catch (error) {
      return outcomeOfError(ConnectError.from(error));
    }
  }

  close(): void {
    this.#close();
  }
}

interface OpenTransport {
  transport: Transport;
  close(): void;
}

function openTransport({ url, protocol, concurrency, maxReplyBytes }: Business): OpenTransport {
  const common = {
    baseUrl: url,
    readMaxBytes: maxReplyBytes + ENVELOPE_BYTES,
    acceptCompression: [],
  };
  if (protocol === "grpc") {
    const transport = createGrpcTransport({ ...common, idleConnectionTimeoutMs: IDLE_MS });
    return { transport, close: () => {} };
  }
  const options = { keepAlive: true, maxSockets: concurrency };
  const agent = url.startsWith("https:") ? new HttpsAgent(options) : new HttpAgent(options);
  const transport = createConnectTransport({
    ...common,
    httpVersion: "1.1",
    nodeOptions: { agent },
  });
  return { transport, close: () => agent.destroy() };
}

/** What the business said with an error. @throws HoldfastError when it was not the business that spoke. */
function outcomeOfError(error: ConnectError): UplinkOutcome {
  const why = error.rawMessage;
  switch (error.code) {
    case Code.ResourceExhausted:
      // The library has no other mark for an answer beyond `readMaxBytes`.
      return /larger than configured readMaxBytes/.test(why)
        ? outcome(UplinkStatus.TOO_LARGE)
        : outcome(UplinkStatus.BUSY, BUSY_RETRY_MS);
    case Code.InvalidArgument:
    case Code.FailedPrecondition:
    case Code.OutOfRange:
    case Code.NotFound:
    case Code.AlreadyExists:
    case Code.PermissionDenied:
      return refusal(why);
    case Code.DeadlineExceeded:
    case Code.Canceled:
      throw new HoldfastError("timeout", "no answer in time", { cause: error });
    case Code.Unavailable:
    // A connection that broke in the middle.
    case Code.Aborted:
      throw new HoldfastError("unavailable", `it cannot be reached: ${why}`, { cause: error });
    default:
      throw new HoldfastError("invalid", `it does not answer as a BusinessService: ${why}`, {
        cause: error,
      });
  }
}
