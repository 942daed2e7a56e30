/** Many devices in a few processes of their own, so that they do not wait for whoever orders them. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { tied } from "../support/tied.ts";
import type { Admitted, ClientOrder, ClientReport, Restlessness } from "./client-protocol.ts";

export interface CrowdOptions {
  devices: readonly Admitted[];
  /** The access nodes' WebSocket addresses. */
  urls: string[];
  /** Where each process writes its history. */
  folder: string;
  seed: number;
  processes?: number;
  /** See `BareDeviceOptions.forgets`. */
  forgets?: number;
  kind?: "bare" | "sdk";
  controlUrl: string;
  /** Names the files of the histories. */
  writer?: string;
  /** Between two logins at the beginning; they are in the order of the devices then. Default: a short flood, at random. */
  spreadMs?: number;
}

export class Clients implements AsyncDisposable {
  readonly #processes: ClientProcess[];

  private constructor(processes: ClientProcess[]) {
    this.#processes = processes;
  }

  /** Every device begins to connect; ask `report` how many are online. */
  static async start(options: CrowdOptions): Promise<Clients> {
    const { devices, urls, controlUrl, folder, seed, processes = 1, forgets = 0 } = options;
    const { kind = "bare", writer = "clients", spreadMs = 0 } = options;
    const members = Array.from({ length: processes }, () => new ClientProcess());
    const clients = new Clients(members);
    await Promise.all(
      members.map((member, index) =>
        member.order({
          order: "begin",
          devices: devices.filter((_, at) => at % processes === index),
          kind,
          urls,
          controlUrl,
          folder,
          writer: `${writer}-${index + 1}`,
          seed: seed + index,
          forgets,
          spreadMs: spreadMs * processes,
        }),
      ),
    );
    return clients;
  }

  async beRestless(restlessness: Restlessness): Promise<void> {
    await this.#all({ order: "be-restless", restlessness });
  }

  async settle(away: string[] = []): Promise<void> {
    await this.#all({ order: "settle", away });
  }

  /** What was received before this call is in the histories when it resolves. */
  async report(): Promise<ClientReport> {
    const reports = await this.#all({ order: "report" });
    const sum = (field: keyof ClientReport) => reports.reduce((all, one) => all + one[field], 0);
    return {
      devices: sum("devices"),
      online: sum("online"),
      repeats: sum("repeats"),
      logins: sum("logins"),
      refusals: sum("refusals"),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.end()));
  }

  #all(order: ClientOrder): Promise<ClientReport[]> {
    return Promise.all(this.#processes.map((process) => process.order(order)));
  }
}

class ClientProcess {
  readonly #child: ChildProcess = tied(fork(join(import.meta.dirname, "client-process.ts")));
  #busy: Promise<unknown> = Promise.resolve();

  /** One order at a time; each is answered with a report. */
  order(order: ClientOrder): Promise<ClientReport> {
    const answer = this.#busy.then(async () => {
      this.#child.send(order);
      const [report] = await once(this.#child, "message");
      return report as ClientReport;
    });
    this.#busy = answer.catch(() => {});
    return answer;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.disconnect();
    await once(this.#child, "exit");
  }
}
