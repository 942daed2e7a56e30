import type { Endpoint } from "./endpoints.ts";
import { HoldfastSdkError } from "./error.ts";

/** The leave to connect: a token and where to go with it. */
export interface Admission {
  token: string;
  /** Unix milliseconds; Infinity when it was not said. */
  expiresAtMs: number;
  endpoints: readonly Endpoint[];
  /** When to connect at the earliest, from when it came. */
  afterMs: number;
}

/** What this program says about itself when it is admitted and when it logs in. */
export interface ClientInfo {
  platform: string;
  appVersion?: string;
  sdk?: string;
  network?: string;
  carrier?: string;
}

/** Gets an admission. Rejects with code `admission`, `final` when trying again cannot help. */
export type Admit = (signal: AbortSignal) => Promise<Admission>;

export interface AdmitRequest {
  app: string;
  device: string;
  user?: string;
  client: ClientInfo;
}

/** Asks the control role itself, for apps that allow open admission. */
export function admitByHttp(controlUrl: string, request: AdmitRequest): Admit {
  const url = `${controlUrl.replace(/\/+$/, "")}/holdfast.control.v1.ControlService/Admit`;
  const body = JSON.stringify(request);
  const headers = { "content-type": "application/json" };
  return async (signal) => {
    const response = await fetch(url, { method: "POST", headers, body, signal });
    if (response.ok) return parseAdmission(await response.json());
    const answer = await response.text();
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"));
    throw new HoldfastSdkError("admission", `Admit: ${messageOf(answer, response.status)}`, {
      final: isFinal(response.status),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  };
}

/** Asks whatever the application gave, usually its own server. */
export function admitByCallback(callback: () => Promise<unknown>): Admit {
  return async () => parseAdmission(await callback());
}

/** Answers about the request itself stay the same however often they are asked for. */
function isFinal(httpStatus: number): boolean {
  return httpStatus >= 400 && httpStatus < 500 && httpStatus !== 408 && httpStatus !== 429;
}

/** The message of a Connect error, or whatever else came. */
function messageOf(answer: string, httpStatus: number): string {
  try {
    const parsed: unknown = JSON.parse(answer);
    if (isObject(parsed) && typeof parsed.message === "string") return parsed.message;
  } catch {
    // Not JSON: a proxy's page, say.
  }
  return `HTTP status ${httpStatus}`;
}

/** An AdmitResponse as JSON, or what an application's own server made of it. */
export function parseAdmission(value: unknown): Admission {
  if (!isObject(value)) throw malformed("is not an object");
  const { token, endpoints, expiresAt, afterMs } = value;
  if (typeof token !== "string" || token === "") throw malformed("has no token");
  if (!Array.isArray(endpoints)) throw malformed("has no endpoints");
  return {
    token,
    endpoints: endpoints.map(parseEndpoint),
    expiresAtMs: parseTime(expiresAt),
    afterMs: typeof afterMs === "number" ? afterMs : 0,
  };
}

/** RFC 9110, section 10.2.3: seconds, or a date. */
function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function parseEndpoint(value: unknown): Endpoint {
  if (!isObject(value) || typeof value.url !== "string") {
    throw malformed("has an endpoint without url");
  }
  const { url, weight } = value;
  return { url, weight: typeof weight === "number" ? weight : 0 };
}

function parseTime(value: unknown): number {
  if (value === undefined) return Number.POSITIVE_INFINITY;
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) throw malformed("has an expiresAt that is no RFC 3339 time");
  return time;
}

function malformed(how: string): HoldfastSdkError {
  return new HoldfastSdkError("admission", `the admission ${how}`, { final: true });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
