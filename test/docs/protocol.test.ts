import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ALLOWED } from "../../internal/access/session/session-state.ts";
import { CLOSE } from "../../internal/status/close.ts";
import { ClientFrameSchema, ServerFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const page = readFileSync(new URL("../../docs/PROTOCOL.md", import.meta.url), "utf8");

/** The cells of the table under a heading, row by row, without backticks. */
function table(heading: string): string[][] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", "")),
    );
}

describe("docs/PROTOCOL.md", () => {
  it("lists the frames that each state allows, as the code does", () => {
    const documented = table("States").map(([state, , frames]) => [
      state,
      frames === "none" ? [] : frames!.split(", "),
    ]);
    expect(Object.fromEntries(documented)).toEqual(ALLOWED);
  });

  it("lists every close code with its name and meaning, as the code does", () => {
    const documented = table("Close codes").map(([code, name, text]) => [
      name,
      { code: Number(code), text },
    ]);
    expect(Object.fromEntries(documented)).toEqual(CLOSE);
  });

  it.each([
    ["client", ClientFrameSchema],
    ["server", ServerFrameSchema],
  ])("describes every frame of the %s", (side, schema) => {
    const documented = table(`Frames of the ${side}`).map(([frame]) => frame);
    expect(documented.sort()).toEqual(schema.oneofs[0]!.fields.map(({ name }) => name).sort());
  });
});
