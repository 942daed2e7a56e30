import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { HandleUplinkRequestSchema } from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import type { Uplink } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { connectionId } from "../../../streams/connection-id.ts";
import { payloadBytes } from "../../wire/payload.ts";
import type { Session } from "../session/session.ts";

const FIELD = HandleUplinkRequestSchema.field;
/** Of an entry of a map<string, string>. */
const KEY = 1;
const VALUE = 2;

/** Kept, because a new one for each uplink costs more than what it writes. */
const writer = new BinaryWriter();

/**
 * Makes HandleUplinkRequests of one connection's uplinks to one business. What they have in common is
 * encoded once: protobuf takes the fields of a message in any order and in several pieces.
 */
export class Envelope {
  #incarnation = "";
  #common: Uint8Array = new Uint8Array();

  /** The encoded request. */
  seal(session: Session, uplink: Uplink, incarnation: string, receivedAtMs: number): Uint8Array {
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      this.#common = commonOf(session, uplink.business, incarnation);
    }
    const payload = payloadBytes(uplink.payload);
    writeOwn(uplink, payload, receivedAtMs);
    // Into memory that Node has at hand: an array of its own for each uplink costs ten times as much.
    return Buffer.concat([this.#common, writer.finish(), payload]);
  }
}

/** What differs from uplink to uplink, up to the bytes of the payload, which come last. */
function writeOwn(uplink: Uplink, payload: Uint8Array, receivedAtMs: number): void {
  const { requestId, metadata, retransmit } = uplink;
  writer.tag(FIELD.requestId.number, WireType.LengthDelimited).string(requestId);
  for (const key in metadata) {
    writer.tag(FIELD.metadata.number, WireType.LengthDelimited).fork();
    writer.tag(KEY, WireType.LengthDelimited).string(key);
    writer.tag(VALUE, WireType.LengthDelimited).string(metadata[key] ?? "");
    writer.join();
  }
  if (retransmit) writer.tag(FIELD.retransmit.number, WireType.Varint).bool(true);
  writer.tag(FIELD.receivedAtMs.number, WireType.Varint).int64(receivedAtMs);
  const kind = uplink.payload.case;
  if (kind !== undefined) {
    writer.tag(FIELD[kind].number, WireType.LengthDelimited).uint32(payload.byteLength);
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
