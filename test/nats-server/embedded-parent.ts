/** A gateway reduced to its embedded NATS, for tests that kill it: prints one line when ready. */

import { startEmbeddedNats } from "../../internal/nats-server/embedded.ts";

const [dataDir = "", binary = ""] = process.argv.slice(2);
const nats = await startEmbeddedNats({ dataDir, binary });
process.on("SIGTERM", async () => {
  await nats[Symbol.asyncDispose]();
  process.exit(0);
});
const { pid, url, user, password } = nats;
console.log(JSON.stringify({ pid, url, user, password }));
