import { fromBinary } from "@bufbuild/protobuf";
import { type Record as LogRecord, RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { decodeJson, type StateEvent } from "../../streams/records.ts";
import { SimAsker } from "./asker.ts";
import { Broker } from "./broker.ts";
import { FencingCheck } from "./fencing-check.ts";
import { SimNode, SimSession } from "./node.ts";
import { SimProjector } from "./projector.ts";
import { RouteCheck } from "./route-check.ts";
import { StateCheck } from "./state-check.ts";
import { World } from "./world.ts";

export const ROOMS = ["lobby", "chess", "go"] as const;

/** A client device. It connects where it likes, and may lose connections without anybody noticing. */
interface SimDevice {
  name: string;
  user: string;
  /** All sessions it ever opened, oldest first. */
  sessions: SimSession[];
}

/** Everything of one run: the broker, the processes, the devices, and what must never happen. */
export class Cluster {
  readonly world: World;
  readonly broker: Broker;
  readonly partitions: number;
  readonly fencing: FencingCheck;
  readonly routes: RouteCheck;
  readonly state: StateCheck;
  readonly asker: SimAsker;
  readonly nodes: SimNode[] = [];
  readonly projectors: SimProjector[] = [];
  readonly devices: SimDevice[] = [];
  /** What went against the rules while it ran. */
  readonly violations: string[] = [];
  readonly history: string[] = [];
  /** The log was cut; the checkpoint, which would tell which records were there, was deleted. */
  readonly lost = { log: false, checkpoint: false };
  /** All projectors are away until then, and nothing is healed before. */
  awayUntil = 0;
  readonly #dead = new Set<string>();
  #sessions = 0;
  #processes = 0;

  constructor(seed: number) {
    const world = new World(seed);
    this.world = world;
    this.partitions = 1 + Math.floor(world.random() * 2);
    this.broker = new Broker(world, this.partitions);
    this.fencing = new FencingCheck((text) => this.violate(text));
    this.routes = new RouteCheck({
      violate: (text) => this.violate(text),
      isOpen: (id) => this.#session(id) !== undefined,
      isDead: (incarnation) => this.#dead.has(incarnation),
    });
    this.state = new StateCheck((text) => this.violate(text));
    this.broker.stored = (_, data) => this.state.told(decodeJson<StateEvent>(data));
    this.broker.observers.push(this.fencing, this.routes);
    this.asker = new SimAsker(this.broker, this.partitions, (text) => this.violate(text));
    this.broker.appended = (record) => {
      this.asker.stored(record);
      this.#appended(fromBinary(RecordSchema, record.data));
    };
    const nodes = 2 + Math.floor(world.random() * 2);
    const projectors = 1 + Math.floor(world.random() * 3);
    const devices = 3 + Math.floor(world.random() * 5);
    for (let i = 0; i < nodes; i++) this.startNode(`n${i}`);
    for (let i = 0; i < projectors; i++) this.startProjector(`p${i}`);
    for (let i = 0; i < devices; i++) {
      this.devices.push({ name: `d${i}`, user: i % 3 === 0 ? "" : `u${i % 2}`, sessions: [] });
    }
  }

  note(text: string): void {
    this.history.push(`${(this.world.now / 1_000).toFixed(3)} ${text}`);
  }

  violate(text: string): void {
    this.note(`VIOLATION ${text}`);
    this.violations.push(text);
  }

  startNode(slot: string): void {
    this.#processes += 1;
    const node = new SimNode(`${slot}_${this.#processes}`, this.broker, this.partitions, {
      kicked: (session) => this.#kicked(session),
    });
    this.nodes.push(node);
    this.note(`node ${node.log.incarnation} starts`);
  }

  startProjector(slot: string): void {
    this.#processes += 1;
    // Like the real ones: a name that stays over restarts, and what does not.
    const name = `${slot}-${this.#processes}`;
    this.note(`projector ${name} starts`);
    this.projectors.push(
      new SimProjector(
        name,
        this.broker,
        this.partitions,
        (writer, key) => this.fencing.epochOf(writer, key),
        (text) => this.note(`${name}: ${text}`),
      ),
    );
  }

  get liveNodes(): SimNode[] {
    return this.nodes.filter(({ process }) => process.alive);
  }

  get liveProjectors(): SimProjector[] {
    return this.projectors.filter(({ process }) => process.alive);
  }

  /** Something one of the devices does. */
  act(): void {
    const { world } = this;
    const device = world.pick(this.devices);
    if (device === undefined) return;
    const open = device.sessions.filter((session) => session.open);
    const session = world.pick(open);
    const what = world.random();
    if (session === undefined || what < 0.25) this.connect(device);
    else if (what < 0.7) {
      const room = world.pick(ROOMS) ?? "lobby";
      const member = world.chance(0.6);
      session.node.process.receive(() => session.node.setRoom(session, room, member));
    } else if (what < 0.88) {
      this.note(`${device.name} closes ${session.id}`);
      session.node.process.receive(() => session.node.close(session, "client-closed"));
    } else {
      // The client is gone without a word; its node finds out by the silence.
      this.note(`${device.name} vanishes from ${session.id}`);
      world.after(world.between(2_000, 8_000), () =>
        session.node.process.receive(() => session.node.close(session, "idle")),
      );
    }
  }

  /** Somebody wants to know where a device is. */
  ask(device = this.world.pick(this.devices)): void {
    if (device !== undefined) void this.asker.ask(device.name, () => this.state.strict);
  }

  connect(device: SimDevice): void {
    const { world } = this;
    const node = world.pick(this.liveNodes);
    if (node === undefined || !node.takesLogins) return;
    this.#connectTo(node, device);
    if (world.chance(0.15)) this.#connectTo(node, device);
  }

  #connectTo(node: SimNode, device: SimDevice): void {
    const { world } = this;
    this.#sessions += 1;
    const { name, user } = device;
    const session = new SimSession(node, { device: name, user, order: this.#sessions });
    device.sessions.push(session);
    if (world.chance(0.3)) session.rooms.add("lobby");
    this.note(`${name} connects as ${session.id}`);
    // Checking a token takes its time, so connections do not reach the log in the order they came.
    const loginMs = world.chance(0.3) ? world.between(0, 400) : 0;
    node.process.clock.after(loginMs, () => node.open(session));
  }

  /** The open session of this connection id. */
  #session(id: string): SimSession | undefined {
    for (const { sessions } of this.devices) {
      for (const session of sessions) if (session.open && session.id === id) return session;
    }
    return undefined;
  }

  #appended({ body }: LogRecord): void {
    if (body.case === "nodeDown") this.#dead.add(body.value.incarnation);
  }

  /** Only a device's newer connection may push out an older one, in whatever order the log has them. */
  #kicked(session: SimSession): void {
    this.note(`${session.id} of ${session.device} is kicked`);
    const device = this.devices.find(({ name }) => name === session.device);
    const later = device?.sessions.filter(({ order }) => order > session.order) ?? [];
    if (later.length === 0) {
      this.violate(`the newest connection of ${session.device}, ${session.id}, was kicked`);
    }
  }
}
