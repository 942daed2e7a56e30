/** A headless Chromium for tests of pages. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const CANDIDATES = [
  process.env.HOLDFAST_TEST_BROWSER,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** Its path, or undefined when this machine has none. */
export const browserPath = CANDIDATES.find((path) => path !== undefined && existsSync(path));

if (browserPath === undefined) {
  console.log(
    "tests in a browser are skipped: no Chromium found; install one (Debian: apt-get install chromium) " +
      "or name it in HOLDFAST_TEST_BROWSER",
  );
}

export function launchBrowser(): Promise<Browser> {
  if (browserPath === undefined) throw new Error("this machine has no Chromium");
  return chromium.launch({
    executablePath: browserPath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
    ],
  });
}
