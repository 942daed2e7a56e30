import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ALLOWED } from "../../internal/access/session/session-state.ts";
import { CLOSE } from "../../internal/status/close.ts";
import { WEBSOCKET_VERSION } from "../../internal/transport/upgrade.ts";
import { WEBSOCKET_VIOLATIONS } from "../../internal/transport/ws-transport.ts";
import { ClientFrameSchema, ServerFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const page = readFileSync(new URL("../../docs/PROTOCOL.md", import.meta.url), "utf8");

/** The cells of the first table under a heading, row by row, without backticks. */
function table(heading: string): string[][] {
  return tables(heading)[0] ?? [];
}

function tables(heading: string): string[][][] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const found = section.split(/\n(?!\|)/).filter((part) => part.includes("\n|"));
  return found.map((part) => rows(part.split("\n").filter((line) => line.startsWith("|"))));
}

function rows(lines: string[]): string[][] {
  return lines.slice(2).map((line) =>
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

  it("lists the codes that WebSocket's own faults end with, as the transport does", () => {
    const documented = tables("Close codes")[1]!.map(([code]) => Number(code));
    expect(documented).toEqual(Object.keys(WEBSOCKET_VIOLATIONS).map(Number));
  });

  it("says which version of WebSocket is spoken, as the upgrade does", () => {
    expect(page).toContain(`Sec-WebSocket-Version: ${WEBSOCKET_VERSION}`);
  });

  it.each([
    ["client", ClientFrameSchema],
    ["server", ServerFrameSchema],
  ])("describes every frame of the %s", (side, schema) => {
    const documented = table(`Frames of the ${side}`).map(([frame]) => frame);
    expect(documented.sort()).toEqual(schema.oneofs[0]!.fields.map(({ name }) => name).sort());
  });
});
