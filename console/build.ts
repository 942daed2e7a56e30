import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ENTRY = fileURLToPath(new URL("../sdk/index.ts", import.meta.url));

let bundled: Promise<string> | undefined;

/**
 * The client SDK as one ES module for browsers, to be served as /sdk.js. Bundled at the first call
 * (some 0.2 s) and kept, so that the demo page needs no build step. Rejects with esbuild's report
 * when the SDK does not compile.
 */
export function bundleSdk(): Promise<string> {
  bundled ??= bundle();
  return bundled;
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [ENTRY],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    write: false,
    logLevel: "silent",
  });
  return outputFiles.map(({ text }) => text).join("");
}
