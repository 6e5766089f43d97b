// A way between browsers and a media port that loses, delays and limits.

import { createSocket } from 'node:dgram';

/** Datagrams waiting in front of the bottleneck for longer are dropped; milliseconds. */
const QUEUE = 250;

/** One direction. */
class Way {
  loss = 0;
  /** @type {number | null} bits per second */
  limit = null;
  dropped = 0;
  passed = 0;
  #free = 0;

  /** @param {Buffer} datagram @param {(datagram: Buffer) => void} deliver */
  carry(datagram, deliver) {
    if (this.loss && Math.random() < this.loss) {
      this.dropped += 1;
      return;
    }
    if (!this.limit) {
      this.passed += 1;
      deliver(datagram);
      return;
    }
    const now = performance.now();
    const start = Math.max(this.#free, now);
    if (start - now > QUEUE) {
      this.dropped += 1;
      return;
    }
    this.passed += 1;
    // With the bytes of IP and UDP, as a real line would count them.
    this.#free = start + ((datagram.length + 28) * 8000) / this.limit;
    setTimeout(() => deliver(datagram), this.#free - now);
  }
}

/** Listens on a port of its own and hands on to `target` and back. */
export class Lossy {
  up = new Way();
  down = new Way();
  port = 0;
  #socket = createSocket('udp4');
  /** @type {Map<string, import('node:dgram').Socket>} */
  #flows = new Map();

  /** @param {{address: string, port: number}} target */
  async open(target) {
    this.#socket.on('message', (datagram, from) => {
      const name = `${from.address}:${from.port}`;
      let flow = this.#flows.get(name);
      if (!flow) {
        flow = createSocket('udp4');
        flow.on('message', (answer) => this.down.carry(answer, (one) => this.#socket.send(one, from.port, from.address)));
        flow.on('error', () => {});
        this.#flows.set(name, flow);
      }
      this.up.carry(datagram, (one) => flow.send(one, target.port, target.address));
    });
    await new Promise((resolve) => this.#socket.bind(0, '127.0.0.1', resolve));
    this.port = this.#socket.address().port;
    return this;
  }

  close() {
    this.#socket.close();
    for (const flow of this.#flows.values()) flow.close();
  }
}
