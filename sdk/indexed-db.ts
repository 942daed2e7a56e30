import { type DeliveryStore, parseSequence } from "./delivery-store.ts";

const STORE = "sequences";

/** In IndexedDB, which workers have too: in a database of its own, under this key. */
export function indexedDbDeliveries(key: string, database = "holdfast-deliveries"): DeliveryStore {
  let opened: Promise<Database> | undefined;
  const transaction = async (mode: "readonly" | "readwrite") => {
    opened ??= open(database);
    return (await opened).transaction(STORE, mode);
  };
  return {
    async load() {
      const request = (await transaction("readonly")).objectStore(STORE).get(key);
      return parseSequence(await resultOf(request));
    },
    async save(sequence) {
      const saving = await transaction("readwrite");
      saving.objectStore(STORE).put(String(sequence), key);
      await new Promise<void>((resolve, reject) => {
        saving.oncomplete = () => resolve();
        saving.onerror = () => reject(saving.error);
        saving.onabort = () => reject(saving.error);
      });
    },
  };
}

function open(name: string): Promise<Database> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return resultOf(request);
}

function resultOf<T>(request: DatabaseRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// What is used of the browser's own types, since this file is also checked where there are none.

declare const indexedDB: {
  open(
    name: string,
    version: number,
  ): DatabaseRequest<Database> & { onupgradeneeded: (() => void) | null };
};

interface Database {
  createObjectStore(name: string): unknown;
  transaction(store: string, mode: "readonly" | "readwrite"): Transaction;
}

interface Transaction {
  objectStore(name: string): {
    get(key: string): DatabaseRequest<unknown>;
    put(value: unknown, key: string): unknown;
  };
  readonly error: unknown;
  oncomplete: (() => void) | null;
  onerror: (() => void) | null;
  onabort: (() => void) | null;
}

interface DatabaseRequest<T> {
  readonly result: T;
  readonly error: unknown;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}
