import { isDeepStrictEqual } from "node:util";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetRoomsRequest,
  type GetRoomsResponseSchema,
  type ListRoomMembersRequest,
  type ListRoomMembersResponseSchema,
  type SetRoomRequest,
  SetRoomRequest_Aggregation,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { decodeJson, type RoomSettings } from "../../streams/records.ts";
import { roomKey } from "../../streams/subjects.ts";
import type { Bucket } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import type { PartitionOwners } from "./owners.ts";

const DEFAULT_PAGE_SIZE = 100;

const AGGREGATIONS: Record<number, RoomSettings["aggregation"]> = {
  [SetRoomRequest_Aggregation.WINDOW]: "window",
  [SetRoomRequest_Aggregation.NEVER]: "never",
  [SetRoomRequest_Aggregation.LATEST]: "latest",
};

export interface RoomsOptions {
  owners: PartitionOwners;
  /** `hf_room` */
  settings: Bucket;
}

/** What the directory knows of rooms. Members are spread over all partitions, so every projector is asked, once. */
export class Rooms {
  readonly #owners: PartitionOwners;
  readonly #settings: Bucket;

  constructor(options: RoomsOptions) {
    this.#owners = options.owners;
    this.#settings = options.settings;
  }

  async get({
    app,
    rooms,
  }: GetRoomsRequest): Promise<MessageInitShape<typeof GetRoomsResponseSchema>> {
    const [answers, settings] = await Promise.all([
      this.#owners.askExactly({ case: "rooms", value: { app, rooms } }, this.#owners.all),
      this.#settings.getMany(rooms.map((room) => roomKey(app, room))),
    ]);
    return {
      rooms: rooms.map((room, i) => {
        const stored = settings[i]?.value;
        return {
          room,
          online: answers.reduce((sum, { roomCounts }) => sum + (roomCounts[room] ?? 0), 0),
          zone: stored === undefined ? "" : decodeJson<RoomSettings>(stored).zone,
        };
      }),
    };
  }

  /** The page token is the last device of the page before. */
  async members({
    app,
    room,
    pageSize,
    pageToken,
  }: ListRoomMembersRequest): Promise<MessageInitShape<typeof ListRoomMembersResponseSchema>> {
    const size = pageSize === 0 ? DEFAULT_PAGE_SIZE : pageSize;
    // Any projector may hold all of the page.
    const query = { case: "members" as const, value: { app, room, limit: size } };
    const answers = await this.#owners.askExactly(query, this.#owners.all, pageToken);
    const merged = answers
      .flatMap(({ members }) => members)
      .sort((a, b) => (a.device < b.device ? -1 : 1));
    // Nothing is known of what lies behind the end of an answer that was cut.
    const cuts = answers.flatMap(({ rest }) => (rest === undefined ? [] : [rest])).sort();
    const known = merged.filter(({ device }) => cuts[0] === undefined || device <= cuts[0]);
    const members = known.slice(0, size).map(({ device, user }) => ({ device, user }));
    const more = cuts.length > 0 || known.length > size;
    return { members, nextPageToken: more ? (members.at(-1)?.device ?? "") : "" };
  }

  async set({ app, room, zone, aggregation, latestKey }: SetRoomRequest): Promise<void> {
    const wanted: RoomSettings = {
      zone,
      aggregation: AGGREGATIONS[aggregation] ?? "window",
      latestKey,
    };
    await updateJson<RoomSettings>(this.#settings, roomKey(app, room), (present) =>
      isDeepStrictEqual(present, wanted) ? undefined : wanted,
    );
  }
}
