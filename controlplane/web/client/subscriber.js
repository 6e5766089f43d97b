// The connection that receives: the server offers.

import { Care } from './care.js';
import { isLost } from './errors.js';

/**
 * Dispatches `media` ({ assigned }: Map of track id to MediaStreamTrack, of
 * everything that is received), `state` ({ state }) and `error` ({ error }).
 */
export class Subscriber extends EventTarget {
  #request;
  #configuration;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  #care;
  /** The latest offer that has not been looked at. */
  #offer = null;
  #running = false;
  #closed = false;
  /** @type {{connection: string, fresh: boolean} | null} a request that could not be sent */
  #owed = null;
  /** @type {Map<string, string>} mid → track id */
  mids = new Map();

  /**
   * @param {{request: (type: string, fields: object) => Promise<any>, configuration: RTCConfiguration}} options
   */
  constructor({ request, configuration }) {
    super();
    this.#request = request;
    this.#configuration = configuration;
    this.#care = new Care({ restart: () => this.#ask(false), renew: () => this.renew() });
  }

  get connection() {
    return this.#connection;
  }

  get failures() {
    return this.#care.failures;
  }

  /** @param {RTCConfiguration} configuration for connections to come */
  configure(configuration) {
    this.#configuration = configuration;
  }

  /** @param {{revision: number, fresh: boolean, offer: string, tracks: object[]}} offer of the server */
  offered(offer) {
    // A skipped offer's wish for a new connection is still one.
    this.#offer = { ...offer, fresh: offer.fresh || (this.#offer?.fresh ?? false) };
    this.#run();
  }

  /** Asks for a new connection. */
  renew() {
    if (!this.#closed && this.#connection) this.#ask(true);
  }

  /** The WebSocket is back: what could not be asked is asked now. */
  resumed() {
    const owed = this.#owed;
    this.#owed = null;
    if (owed) this.#ask(owed.fresh);
  }

  networkChanged() {
    this.#care.networkChanged();
  }

  /** Forgets the connection; the next offer begins another. */
  drop() {
    const connection = this.#connection;
    this.#connection = null;
    this.#offer = null;
    this.#owed = null;
    this.mids.clear();
    if (connection) {
      connection.onconnectionstatechange = null;
      connection.close();
    }
  }

  close() {
    this.#closed = true;
    this.#care.stop();
    this.drop();
  }

  async #ask(fresh) {
    try {
      await this.#request('restart', { connection: 'subscriber', fresh });
    } catch (error) {
      if (isLost(error)) this.#owed = { connection: 'subscriber', fresh: fresh || (this.#owed?.fresh ?? false) };
      else this.dispatchEvent(new CustomEvent('error', { detail: { error } }));
    }
  }

  #open() {
    const connection = new RTCPeerConnection(this.#configuration);
    this.#connection = connection;
    this.#care.renewed();
    connection.onconnectionstatechange = () => {
      this.#care.state(connection.connectionState);
      this.dispatchEvent(new CustomEvent('state', { detail: { state: connection.connectionState } }));
    };
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    while (this.#offer && !this.#closed) {
      const offer = this.#offer;
      this.#offer = null;
      try {
        await this.#answer(offer);
      } catch (error) {
        // Lost answers are asked for again: the server repeats its offer. A
        // connection that was dropped meanwhile needs no answer.
        if (this.#closed || !this.#connection || isLost(error) || error.code === 'stale_answer') continue;
        this.dispatchEvent(new CustomEvent('error', { detail: { error } }));
        if (error.code !== 'bad_answer' && !offer.fresh) this.#ask(true);
      }
    }
    this.#running = false;
  }

  async #answer({ revision, fresh, offer, tracks }) {
    if (fresh && this.#connection) {
      const old = this.#connection;
      old.onconnectionstatechange = null;
      old.close();
      this.#connection = null;
    }
    if (!this.#connection) this.#open();
    const connection = this.#connection;
    await connection.setRemoteDescription({ type: 'offer', sdp: offer });
    const answer = await connection.createAnswer();
    await connection.setLocalDescription(answer);
    this.#assign(connection, tracks);
    await this.#request('answer', { revision, answer: connection.localDescription.sdp });
  }

  #assign(connection, tracks) {
    this.mids = new Map(tracks.map(({ mid, track }) => [mid, track]));
    const assigned = new Map();
    for (const transceiver of connection.getTransceivers()) {
      const track = this.mids.get(transceiver.mid);
      if (track) assigned.set(track, transceiver.receiver.track);
    }
    this.dispatchEvent(new CustomEvent('media', { detail: { assigned } }));
  }
}
