/** The rules for the fields of a client frame that decoding alone does not check. */

import type { Client, Login, Uplink } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { idProblem } from "../../streams/names.ts";
import type { ClientBody } from "./codec.ts";

export const MAX_TOKEN_BYTES = 8_192;
export const MAX_CLIENT_FIELD_BYTES = 128;
export const MAX_CONNECTION_ID_BYTES = 256;
export const MAX_BUSINESSES = 16;
export const MAX_ENCODINGS = 8;
export const MAX_STANDINGS = 256;
export const MAX_METADATA_PAIRS = 32;
export const MAX_METADATA_KEY_BYTES = 128;
export const MAX_METADATA_VALUE_BYTES = 1_024;

/**
 * The rule that a field of the frame breaks, with the field's name: "uplink.business must not be
 * empty". Undefined when all is well. Rooms are checked where they are joined, one by one.
 */
export function fieldProblem(body: ClientBody): string | undefined {
  switch (body.case) {
    case "login":
      return loginProblem(body.value);
    case "uplink":
      return uplinkProblem(body.value);
    case "join":
      return named("join.room", idProblem(body.value.room));
    case "leave":
      return named("leave.room", idProblem(body.value.room));
    case "refresh":
      return tokenProblem("refresh.token", body.value.token);
    default:
      return undefined;
  }
}

function loginProblem(login: Login): string | undefined {
  return (
    tokenProblem("login.token", login.token) ??
    (login.client && clientProblem(login.client)) ??
    businessesProblem(login.businesses) ??
    tooMany("login.encodings", login.encodings, MAX_ENCODINGS) ??
    tooMany("login.resume.standings", login.resume?.standings ?? [], MAX_STANDINGS) ??
    tooLong("login.resume.connection_id", login.resume?.connectionId, MAX_CONNECTION_ID_BYTES)
  );
}

function businessesProblem(businesses: readonly string[]): string | undefined {
  const problem = tooMany("login.businesses", businesses, MAX_BUSINESSES);
  if (problem !== undefined) return problem;
  for (const business of businesses) {
    const wrong = idProblem(business);
    if (wrong !== undefined) return `a name in login.businesses ${wrong}`;
  }
  return undefined;
}

function tokenProblem(field: string, token: string): string | undefined {
  return token === "" ? `${field} must not be empty` : tooLong(field, token, MAX_TOKEN_BYTES);
}

function clientProblem(client: Client): string | undefined {
  const most = MAX_CLIENT_FIELD_BYTES;
  return (
    tooLong("login.client.platform", client.platform, most) ??
    tooLong("login.client.app_version", client.appVersion, most) ??
    tooLong("login.client.sdk", client.sdk, most) ??
    tooLong("login.client.network", client.network, most) ??
    tooLong("login.client.carrier", client.carrier, most)
  );
}

function uplinkProblem(uplink: Uplink): string | undefined {
  return (
    named("uplink.request_id", idProblem(uplink.requestId)) ??
    named("uplink.business", idProblem(uplink.business)) ??
    metadataProblem(uplink.metadata)
  );
}

function metadataProblem(metadata: Record<string, string>): string | undefined {
  let pairs = 0;
  for (const key in metadata) {
    pairs += 1;
    if (pairs > MAX_METADATA_PAIRS) {
      return `uplink.metadata must have at most ${MAX_METADATA_PAIRS} pairs`;
    }
    if (key === "") return "uplink.metadata must not have an empty key";
    const problem =
      tooLong("a key of uplink.metadata", key, MAX_METADATA_KEY_BYTES) ??
      tooLong("a value of uplink.metadata", metadata[key], MAX_METADATA_VALUE_BYTES);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function tooMany(field: string, list: readonly unknown[], most: number): string | undefined {
  return list.length > most ? `${field} must be at most ${most}` : undefined;
}

function named(field: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${field} ${problem}`;
}

function tooLong(field: string, text: string | undefined, most: number): string | undefined {
  // Three bytes is the most that one UTF-16 unit takes, so short strings need no counting.
  if (text === undefined || text.length * 3 <= most || Buffer.byteLength(text) <= most) {
    return undefined;
  }
  return `${field} must be at most ${most} bytes`;
}
