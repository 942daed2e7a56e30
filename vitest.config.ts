import { defineConfig } from "vitest/config";
import { patient } from "./test/support/patience.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    // Files run in processes of their own: they start servers and send signals.
    pool: "forks",
    maxWorkers: 2,
    // A test that is merely slow still passes: conditions are waited for, never moments.
    testTimeout: patient(30_000),
    hookTimeout: patient(60_000),
    expect: { poll: { timeout: patient(5_000) } },
    reporters: process.env.CI ? ["verbose"] : ["default"],
  },
});
