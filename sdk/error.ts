/**
 * The one error class of the SDK. Decide by `code`:
 *
 * - `invalid`: the call breaks a rule; it was not sent
 * - `timeout`: no answer in time; the other side may still have the message
 * - `uplink`: the business side did not take the message; `status` says why
 * - `refused`: the gateway refused a request; `closeCode` says why
 * - `admission`: no token or no access point could be got
 * - `lost`: the connection broke; the SDK connects again by itself
 * - `closed`: the client is closed and stays so; `closeCode` says why, when the gateway closed it
 */
export type SdkErrorCode =
  | "invalid"
  | "timeout"
  | "uplink"
  | "refused"
  | "admission"
  | "lost"
  | "closed";

/** Why an uplink was not taken, as in UplinkStatus of the wire protocol. */
export type UplinkFailure =
  | "BUSY"
  | "UNKNOWN_BUSINESS"
  | "UNAVAILABLE"
  | "TIMEOUT"
  | "TOO_LARGE"
  | "REFUSED"
  | "UNSPECIFIED";

export interface SdkErrorDetails {
  status?: UplinkFailure;
  retryAfterMs?: number;
  closeCode?: number;
  /** True when trying the same again cannot help. */
  final?: boolean;
  cause?: unknown;
}

export class HoldfastSdkError extends Error {
  readonly code: SdkErrorCode;
  /** Set with `uplink`. */
  readonly status: UplinkFailure | undefined;
  /**
   * How long to wait before the next try. Set with status `BUSY` when the business asks for it, and with
   * `admission` when Admit does.
   */
  readonly retryAfterMs: number | undefined;
  /** A close code of docs/PROTOCOL.md. */
  readonly closeCode: number | undefined;
  readonly final: boolean;

  constructor(code: SdkErrorCode, message: string, details: SdkErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.name = "HoldfastSdkError";
    this.code = code;
    this.status = details.status;
    this.retryAfterMs = details.retryAfterMs;
    this.closeCode = details.closeCode;
    this.final = details.final ?? false;
  }
}
