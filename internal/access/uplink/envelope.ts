import { create, toBinary } from "@bufbuild/protobuf";
import { HandleUplinkRequestSchema } from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import type { Uplink } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { connectionId } from "../../../streams/connection-id.ts";
import type { Session } from "../session.ts";

/** What differs from uplink to uplink; filled, encoded and filled again. */
const varying = create(HandleUplinkRequestSchema);

/**
 * Makes HandleUplinkRequests of one connection's uplinks to one business. What they have in common is
 * encoded once: protobuf takes the fields of a message in any order and in several pieces, and this is
 * a third of the cost.
 */
export class Envelope {
  #incarnation = "";
  #common: Uint8Array = new Uint8Array();

  /** The encoded request. */
  seal(session: Session, uplink: Uplink, incarnation: string, receivedAtMs: number): Buffer {
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      this.#common = commonOf(session, uplink.business, incarnation);
    }
    varying.requestId = uplink.requestId;
    varying.payload = uplink.payload;
    varying.metadata = uplink.metadata;
    varying.retransmit = uplink.retransmit;
    varying.receivedAtMs = BigInt(receivedAtMs);
    const rest = toBinary(HandleUplinkRequestSchema, varying);
    const common = this.#common;
    const sealed = Buffer.allocUnsafe(common.length + rest.length);
    sealed.set(common, 0);
    sealed.set(rest, common.length);
    return sealed;
  }
}

function commonOf(session: Session, business: string, incarnation: string): Uint8Array {
  const { app, device, user, counter, client, address } = session;
  const common = create(HandleUplinkRequestSchema, {
    app,
    business,
    device,
    user,
    connectionId: connectionId(incarnation, counter),
    node: incarnation,
    ...(client !== undefined && { client }),
    address,
  });
  return toBinary(HandleUplinkRequestSchema, common);
}
