/** Started by run-rooms.ts: many members of a room in one process. */
import { answerParent } from "../../bench/support/child.ts";
import { seededRandom } from "../../support/seeded-random.ts";
import type { RoomCrowd, RoomMember } from "./crowd.ts";
import { PlainMember } from "./plain-member.ts";
import { SdkMember } from "./sdk-member.ts";

const CUT_EVERY_MS = 5_000;
const BACK_WITHIN_MS = 1_000;
/** Between two beginnings, so that they are no flood. */
const SPREAD_MS = 3;

let members: RoomMember[] = [];
let random = seededRandom(1);
let share = 0;

setInterval(() => {
  for (const member of members) {
    if (random() >= share) continue;
    setTimeout(() => member.cut(random() * BACK_WITHIN_MS), random() * CUT_EVERY_MS);
  }
}, CUT_EVERY_MS);

answerParent<RoomCrowd>({
  async begin({ members: all, urls, room, seed, sdk }) {
    random = seededRandom(seed);
    members = [];
    for (const { member, token } of all) {
      const options = { member, token, urls, room, random };
      members.push(sdk ? new SdkMember(options) : new PlainMember(options));
      await new Promise((go) => setTimeout(go, SPREAD_MS));
    }
    return null;
  },
  cut(ask) {
    share = ask.share;
    return null;
  },
  online: () => ({
    online: members.filter((member) => member.online).length,
    received: members.reduce((sum, { account }) => sum + account.count, 0),
  }),
  report: () => members.map(({ account }) => account.report()),
});
