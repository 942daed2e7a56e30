/**
 * What the SDK adds to a web page: `npm run sdk:size`. Three bundles: everything; an application
 * that only connects, so without what bundlers drop; and the protobuf runtime with the generated
 * frames alone, which is what the SDK's own code stands on.
 */

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = new URL("..", import.meta.url).pathname;

const BUNDLES = {
  "everything (sdk/index.ts)": 'export * from "./sdk/index.ts";',
  "connect only": 'export { connect } from "./sdk/index.ts";',
  "protobuf and frames alone": `
    import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
    import { ClientFrameSchema, ServerFrameSchema } from "./proto/gen/holdfast/wire/v1/wire_pb.ts";
    export const read = (bytes) => fromBinary(ServerFrameSchema, bytes);
    export const write = (body) => toBinary(ClientFrameSchema, create(ClientFrameSchema, { body }));`,
};

async function bundle(contents: string, minify: boolean): Promise<Uint8Array> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: ROOT, loader: "ts" },
    bundle: true,
    minify,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    write: false,
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error("esbuild made no output");
  return file.contents;
}

console.log(
  `${"bytes".padEnd(28)}${["raw", "minified", "gzip"].map((c) => c.padStart(10)).join("")}`,
);
for (const [name, contents] of Object.entries(BUNDLES)) {
  const raw = await bundle(contents, false);
  const minified = await bundle(contents, true);
  const sizes = [raw.length, minified.length, gzipSync(minified, { level: 9 }).length];
  console.log(`${name.padEnd(28)}${sizes.map((size) => String(size).padStart(10)).join("")}`);
}
