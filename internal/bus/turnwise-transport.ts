import {
  type NatsConnection,
  NatsConnectionImpl,
  type NodeConnectionOptions,
  setTransportFactory,
} from "@nats-io/transport-node";
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport.js";

/**
 * The client library's transport, which writes to its socket once a turn of the event loop. On its own
 * it writes after every callback, so a node to which many clients send in one turn would make a system
 * call for each of them: more than half of what an uplink costs.
 */
class TurnwiseTransport extends NodeTransport {
  #corked = false;

  override send(frame: Uint8Array): void {
    this.#cork();
    super.send(frame);
  }

  #cork(): void {
    const { socket } = this;
    if (this.#corked || socket === undefined) return;
    this.#corked = true;
    socket.cork();
    // The check phase follows the poll phase, in which the sockets of clients are read.
    setImmediate(() => {
      this.#corked = false;
      socket.uncork();
    });
  }
}

/** As the library's own `connect`. */
export function connectTurnwise(options: NodeConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({
    factory: () => new TurnwiseTransport(),
    dnsResolveFn: nodeResolveHost,
  });
  return NatsConnectionImpl.connect(options);
}
