// Statistics, taken every two seconds.

import { Report, counters, difference, path } from './stats.js';

const INTERVAL = 2_000;
/** Samples from one report to the server to the next. */
const REPORT = 5;

/**
 * Dispatches `sample` ({ sample, report }); `report` is empty but when the
 * server is to be told.
 */
export class Sampler extends EventTarget {
  #room;
  #sides;
  #timer = 0;
  /** @type {Map<string, ReturnType<typeof counters>>} */
  #before = new Map();
  #report = new Report();
  #count = 0;
  latest = null;

  /**
   * @param {import('./room.js').Room} room
   * @param {() => {publisher: import('./publisher.js').Publisher, subscriber: import('./subscriber.js').Subscriber}} sides
   */
  constructor(room, sides) {
    super();
    this.#room = room;
    this.#sides = sides;
  }

  start() {
    this.#timer ||= setInterval(() => this.#take().catch(() => {}), INTERVAL);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  async #take() {
    const { publisher, subscriber } = this.#sides();
    const sample = {
      at: Date.now(),
      publisher: await this.#side(publisher.connection, 'outbound-rtp', new Map(
        publisher.tracks.filter((track) => track.id && track.transceiver?.mid).map((track) => [track.transceiver.mid, track]),
      )),
      subscriber: await this.#side(subscriber.connection, 'inbound-rtp', new Map(
        [...subscriber.mids].map(([mid, id]) => [mid, this.#room.track(id)]).filter(([, track]) => track),
      )),
    };
    if (!this.#timer) return;
    this.latest = sample;
    this.#count += 1;
    this.dispatchEvent(new CustomEvent('sample', {
      detail: { sample, report: this.#count % REPORT === 0 ? this.#report.take() : [] },
    }));
  }

  /**
   * @param {RTCPeerConnection | null} connection
   * @param {string} type
   * @param {Map<string, any>} tracks by mid
   */
  async #side(connection, type, tracks) {
    const side = { state: connection?.connectionState ?? 'none', path: null, bitrate: 0, loss: null, sending: false, tracks: {} };
    if (!connection) return side;
    const all = new Map([...await connection.getStats()]);
    side.path = path(all);
    const rows = [...all.values()].filter((row) => row.type === type);
    let lost = 0;
    let packets = 0;
    for (const [mid, track] of tracks) {
      const own = rows.filter((row) => row.mid === mid);
      if (!own.length) continue;
      const now = counters(own, all);
      const expected = !track.muted && (type === 'outbound-rtp' || track.layer?.spatial !== null);
      const sample = difference(this.#before.get(track.id), now, expected && !document.hidden);
      this.#before.set(track.id, now);
      this.#report.add(track.id, type === 'outbound-rtp' ? { ...sample, freezes: 0, freezeMs: 0 } : sample);
      track.sample = sample;
      side.tracks[track.id] = sample;
      side.bitrate += sample.bitrate;
      side.sending ||= sample.kind === 'video' && sample.bitrate > 0;
      lost += sample.lost;
      packets += sample.packets;
    }
    const whole = type === 'outbound-rtp' ? packets : packets + lost;
    if (whole > 20) side.loss = lost / whole;
    return side;
  }
}
