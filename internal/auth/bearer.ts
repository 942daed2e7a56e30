/** The key of `Authorization: Bearer <key>` (RFC 6750, section 2.1), undefined when there is none. */
export function bearerOf(headers: Headers): string | undefined {
  const match = /^Bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "");
  return match?.[1];
}
