import { toJson } from "@bufbuild/protobuf";
import {
  DirectoryService,
  GetMessageResponseSchema,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { callRpc } from "../rpc-client.ts";
import type { AppTarget } from "../target.ts";
import { timeline } from "./timeline.ts";

export async function trace(messageId: string, flags: AppTarget): Promise<void> {
  const { app, json } = flags;
  const found = await callRpc(DirectoryService, flags, (directory) =>
    directory.getMessage({ app, messageId }),
  );
  if (json) console.log(JSON.stringify(toJson(GetMessageResponseSchema, found)));
  else console.log(found.deliveries.flatMap(timeline).join("\n"));
}
