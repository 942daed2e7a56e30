/**
 * Reads where this machine gets its distribution from, and points that at the newest suite. The
 * mirror, its keys and its options stay what the administrator chose; only the suite changes.
 */

/** What differs between the two distributions this knows. */
const DISTRIBUTIONS = new Map([
  ["debian", { component: "main", newest: "sid", aliases: ["stable", "testing", "unstable"] }],
  ["ubuntu", { component: "universe", newest: "devel", aliases: [] }],
]);

/** A file of apt's source list, in its one-line form (`.list`) or its stanza form (`.sources`). */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/**
 * One source for the newest suite, made from the first of `files` that serves the machine's own
 * release; undefined when there is none or the distribution is another one.
 */
export function newestSuite(
  files: readonly SourceFile[],
  osRelease: string,
): SourceFile | undefined {
  const distribution = DISTRIBUTIONS.get(osField(osRelease, "ID") ?? "");
  if (distribution === undefined) return undefined;
  const { component, newest, aliases } = distribution;
  const suites = [osField(osRelease, "VERSION_CODENAME"), newest, ...aliases];

  const serves = (candidateSuites: string[], components: string[]) =>
    candidateSuites.some((suite) => suites.includes(suite)) && components.includes(component);

  for (const { name, text } of files) {
    if (name.endsWith(".list")) {
      for (const line of text.split("\n")) {
        const parts = /^\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
        const [, options = "", uri = "", suite = "", components = ""] = parts ?? [];
        if (!serves([suite], words(components))) continue;
        return { name: "newest.list", text: `deb ${options}${uri} ${newest} ${component}\n` };
      }
    } else {
      for (const stanza of stanzas(text)) {
        if (!words(stanza.get("types")).includes("deb") || stanza.get("enabled") === "no") continue;
        if (!serves(words(stanza.get("suites")), words(stanza.get("components")))) continue;
        stanza.set("types", "deb").set("suites", newest).set("components", component);
        const lines = [...stanza].map(([field, value]) => `${field}: ${value}\n`);
        return { name: "newest.sources", text: lines.join("") };
      }
    }
  }
  return undefined;
}

function osField(osRelease: string, field: string): string | undefined {
  return new RegExp(`^${field}="?([^"\n]*)"?$`, "m").exec(osRelease)?.[1];
}

/** Field names are case-insensitive, and a value goes on in the lines that start with a space. */
function stanzas(text: string): Map<string, string>[] {
  const withoutComments = text.replace(/^#.*\n?/gm, "");
  return withoutComments.split(/\n\s*\n/).map((stanza) => {
    const fields = stanza.matchAll(/^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)/gm);
    return new Map([...fields].map(([, field = "", value = ""]) => [field.toLowerCase(), value]));
  });
}

function words(text = ""): string[] {
  return text.split(/\s+/).filter(Boolean);
}
