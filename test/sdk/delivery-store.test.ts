import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import type { DeliveryStore } from "../../sdk/delivery-store.ts";
import { fileDeliveries } from "../../sdk/node-delivery-store.ts";
import { SavedPosition } from "../../sdk/saved-position.ts";
import { browserPath, launchBrowser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { tempFolder } from "../support/temp-folder.ts";
import type { FakeConnection } from "./fake-gateway.ts";
import { online, open, start } from "./started-client.ts";

/** As large as the log's sequences are. */
const LARGE = 1_790_000_000_000_001n;

/** Resolves its saves when told to. */
class SlowStore implements DeliveryStore {
  readonly begun: bigint[] = [];
  readonly #waiting: PromiseWithResolvers<void>[] = [];

  async load() {
    return undefined;
  }

  save(sequence: bigint): Promise<void> {
    this.begun.push(sequence);
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  async finish(error?: Error): Promise<void> {
    const waiting = this.#waiting.shift();
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(error);
    await new Promise((turn) => setImmediate(turn));
  }
}

describe("how far the application is", () => {
  test("is saved before it is acknowledged, the newest of many", async () => {
    const store = new SlowStore();
    const acknowledged: bigint[] = [];
    const position = new SavedPosition(store, (sequence) => acknowledged.push(sequence), fail);
    position.save(1n);
    position.save(2n);
    position.save(3n);
    expect([store.begun, acknowledged]).toEqual([[1n], []]);
    await store.finish();
    expect([store.begun, acknowledged]).toEqual([[1n, 3n], [1n]]);
    await store.finish();
    expect(acknowledged).toEqual([1n, 3n]);
    // What is saved already is acknowledged at once.
    position.save(2n);
    expect(acknowledged).toEqual([1n, 3n, 2n]);
  });

  test("is acknowledged also when it cannot be saved, which is reported", async () => {
    const store = new SlowStore();
    const acknowledged: bigint[] = [];
    const errors: unknown[] = [];
    const position = new SavedPosition(
      store,
      (sequence) => acknowledged.push(sequence),
      (error) => errors.push(error),
    );
    position.save(1n);
    await store.finish(new Error("disk full"));
    expect(acknowledged).toEqual([1n]);
    expect(String(errors)).toContain("disk full");
  });
});

describe("a file", () => {
  test("keeps the number over restarts, and none when there is no file yet", async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, "deliveries");
    expect(await fileDeliveries(path).load()).toBeUndefined();
    await fileDeliveries(path).save(5n);
    await fileDeliveries(path).save(LARGE);
    expect(await fileDeliveries(path).load()).toBe(LARGE);
    expect(await readFile(path, "utf8")).toBe(`${LARGE}\n`);
  });

  test("that holds no number counts as empty, since a message twice is better than none", async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, "deliveries");
    await writeFile(path, "what?");
    expect(await fileDeliveries(path).load()).toBeUndefined();
  });

  test("that cannot be read is an error", async () => {
    await using folder = await tempFolder();
    await expect(fileDeliveries(folder.path).load()).rejects.toThrow(/EISDIR/);
  });
});

describe.skipIf(browserPath === undefined)("in a browser", () => {
  test.each(["localStorageDeliveries", "indexedDbDeliveries"])(
    "%s keeps the number for each key over a reload",
    async (name) => {
      const { outputFiles } = await build({
        stdin: {
          contents: `import { ${name} } from "./sdk/index.ts"; window.deliveries = ${name};`,
          resolveDir: new URL("../..", import.meta.url).pathname,
          loader: "ts",
        },
        bundle: true,
        write: false,
      });
      const page = `<script>${outputFiles[0]!.text}</script>`;
      const server = createServer((_, answer) => {
        answer.setHeader("Content-Type", "text/html; charset=utf-8").end(page);
      });
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      const browser = await launchBrowser();
      try {
        const tab = await browser.newPage();
        await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
        const run = (script: string) => tab.evaluate(`(async () => ${script})()`);
        expect(await run(`String(await deliveries("d1").load())`)).toBe("undefined");
        await run(`deliveries("d1").save(5n).then(() => deliveries("d1").save(${LARGE}n))`);
        await tab.reload();
        expect(await run(`String(await deliveries("d1").load())`)).toBe(String(LARGE));
        expect(await run(`String(await deliveries("d2").load())`)).toBe("undefined");
      } finally {
        await browser.close();
        server.close();
      }
    },
  );
});

function mustArrive(connection: FakeConnection, deliverySequence: bigint): void {
  const message = { business: "chat", deliverySequence, messageId: `m${deliverySequence}` };
  connection.send({ case: "push", value: { message } });
}

describe("a client with a store", () => {
  test("gives the application nothing that it handled before a restart", async () => {
    await using folder = await tempFolder();
    const deliveries = fileDeliveries(join(folder.path, "deliveries"));
    const before = await start({}, { deliveries });
    await online(before.client);
    const first = await before.node.connection(1);
    mustArrive(first, LARGE);
    expect(await first.first("ack")).toMatchObject({ deliverySequence: LARGE });
    expect(await deliveries.load()).toBe(LARGE);
    await before.client.close();

    const after = open(before.control, { deliveries });
    const second = await before.node.connection(2);
    expect((await second.first("login")).lastDeliverySequence).toBe(LARGE);
    await online(after.client);
    mustArrive(second, LARGE);
    mustArrive(second, LARGE + 1n);
    await eventually("the new one has come", () => after.messages.length > 0);
    expect(after.messages.map(({ deliverySequence }) => deliverySequence)).toEqual([LARGE + 1n]);
    expect(await second.first("ack")).toBeDefined();
  });

  test("goes on without it when it cannot be read, and says so", async () => {
    const deliveries: DeliveryStore = {
      load: () => Promise.reject(new Error("no access")),
      save: async () => {},
    };
    const { client, errors } = await start({}, { deliveries });
    await online(client);
    expect(String(errors)).toContain("no access");
  });
});

function fail(error: unknown): void {
  throw error;
}
