import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    // Files run in processes of their own: they start servers and send signals.
    pool: "forks",
    maxWorkers: 2,
    // Room for a busy two-core machine; a test that is merely slow still passes.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: process.env.CI ? ["verbose"] : ["default"],
  },
});
