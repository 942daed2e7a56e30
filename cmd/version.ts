import { readFileSync } from "node:fs";

const file = readFileSync(new URL("../package.json", import.meta.url), "utf8");

/** Of this build. */
export const VERSION: string = (JSON.parse(file) as { version: string }).version;
