import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  AdmitRequestSchema,
  type AdmitResponse,
} from "../../proto/gen/holdfast/control/v1/control_pb.ts";
import { bearerOf } from "../auth/bearer.ts";
import { answerJson, type HttpHandler, pathOf } from "../http/handler.ts";
import { validate } from "../http/validation.ts";
import { toConnectError } from "../status/connect.ts";
import { HoldfastError } from "../status/errors.ts";
import { type AdmissionOptions, admit } from "./admit.ts";

const STATUS: Partial<Record<Code, number>> = {
  [Code.InvalidArgument]: 400,
  [Code.Unauthenticated]: 401,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.Unavailable]: 503,
};
const KNOWN = [
  ...["app", "device", "user", "platform", "app_version", "network", "carrier"],
  ...["labels", "protocols"],
];

/**
 * `GET /admit?app=…&device=…`: Admit for the simplest client, which need not write JSON. The same
 * rules, the same bearer and the same answer. `other`: gets every request that is for another path.
 */
export function admitByGet(options: AdmissionOptions, other: HttpHandler): HttpHandler {
  return (request, response) => {
    if (pathOf(request) !== "/admit") {
      other(request, response);
      return;
    }
    const answered = (status: number, body: Readonly<Record<string, unknown>>) => {
      response.setHeader("Cache-Control", "no-store");
      answerJson(request, response, status, body);
    };
    if (request.method !== "GET") {
      response.setHeader("Allow", "GET");
      answered(405, { code: "unimplemented", message: "use GET, or the RPC Admit" });
      return;
    }
    void admitted(options, request.url ?? "", request.headers.authorization).then(
      (body) => answered(200, body),
      (reason: unknown) => {
        const error = toConnectError(reason);
        const { rawMessage: message, code } = error;
        answered(STATUS[code] ?? 500, { code: codeName(code), message });
      },
    );
  };
}

async function admitted(
  options: AdmissionOptions,
  url: string,
  authorization: string | undefined,
): Promise<Record<string, unknown>> {
  const query = new URLSearchParams(url.slice(url.indexOf("?") + 1));
  for (const name of query.keys()) {
    if (!KNOWN.includes(name)) throw new HoldfastError("invalid", `${name}: not a parameter`);
  }
  const value = (name: string) => query.get(name) ?? "";
  const request = create(AdmitRequestSchema, {
    app: value("app"),
    device: value("device"),
    user: value("user"),
    client: {
      platform: value("platform"),
      appVersion: value("app_version"),
      network: value("network"),
      carrier: value("carrier"),
    },
    labels: labelsOf(value("labels")),
    protocols: value("protocols") === "" ? [] : value("protocols").split(","),
  });
  validate(AdmitRequestSchema, request);
  const headers = new Headers(authorization === undefined ? {} : { authorization });
  const response = await admit(options, request, bearerOf(headers));
  return jsonOf(response);
}

/** What `toJson` makes of it, in a fifth of its time: this is the hottest call of the control role. */
export function jsonOf(response: AdmitResponse): Record<string, unknown> {
  const { token, expiresAt, endpoints, afterMs, heartbeatSeconds } = response;
  return {
    token,
    ...(expiresAt && { expiresAt: rfc3339(timestampMs(expiresAt)) }),
    endpoints: endpoints.map(({ url, protocol, node, weight }) => ({
      url,
      protocol,
      node,
      ...(weight > 0 && { weight }),
    })),
    ...(afterMs > 0 && { afterMs }),
    ...(heartbeatSeconds > 0 && { heartbeatSeconds }),
  };
}

/** Without a fraction that is zero, as the JSON of protobuf has it. */
function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

/** "region=eu,tier=gold" */
function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const part of text === "" ? [] : text.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 1) throw new HoldfastError("invalid", 'labels: must be "name=value,name=value"');
    labels[part.slice(0, equals)] = part.slice(equals + 1);
  }
  return labels;
}

/** As the Connect protocol spells it, such as "invalid_argument". */
function codeName(code: Code): string {
  return (Code[code] ?? "unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
}
