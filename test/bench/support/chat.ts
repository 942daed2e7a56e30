/** Chat as a live room has it: JSON of about 120 bytes, a few talkative users, and words as often as in speech. */
import { seededRandom } from "../../support/seeded-random.ts";

const WORDS =
  "the i you to a it that and is of in what on me this for my we your no so have be just not do are good one like go all know now was get haha can with yes come up but there here don't how he out they got at see time hey if her right she about want think who let's well look nice him love really wow back why been too over great them play first more take would then some man oh down when had make from as or gg win lol team goal next fun hello thanks please again never did still live show song day game night stream best song new people thing little much";
const LENGTH_BYTES = 120;
const USERS = 200;

export interface ChatMessage {
  text: string;
  sentAtMs: number;
}

/** The same messages for the same seed. */
export function chat(count: number, seed: number): ChatMessage[] {
  const random = seededRandom(seed);
  const words = WORDS.split(" ");
  // Zipf: the n-th is said 1/n times as often as the first.
  const ranked = (length: number) => Math.floor(length ** random()) - 1;
  let sentAtMs = Date.UTC(2026, 0, 1);
  return Array.from({ length: count }, () => {
    sentAtMs += Math.floor(random() * 10);
    const user = ranked(USERS);
    const body = {
      type: "chat",
      from: { id: 100_000 + user * 37, name: `user${user * 37}`, level: user % 30, vip: user < 5 },
      color: "#ffffff",
      text: "",
    };
    while (JSON.stringify(body).length < LENGTH_BYTES - 3) {
      body.text += `${body.text === "" ? "" : " "}${words[ranked(words.length)]}`;
    }
    return { text: JSON.stringify(body), sentAtMs };
  });
}
