import { create } from "@bufbuild/protobuf";
import { ErrorSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { CLOSE } from "../../status/close.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import type { Session } from "./session.ts";

/** Tells the client which rule its request breaks. The connection stays. */
export function refuse(
  session: Pick<Session, "send">,
  reason: string,
  about: { requestId?: string; room?: string },
): void {
  const value = create(ErrorSchema, { code: CLOSE["bad-frame"].code, reason, ...about });
  session.send(SharedFrame.of({ case: "error", value }));
}
