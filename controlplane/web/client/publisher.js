// The connection that sends: the client offers.

import { Backoff } from './backoff.js';
import { Care } from './care.js';
import { screen, simulcast, withOpusWishes } from './encodings.js';
import { ForebayError, isLost } from './errors.js';

/** A track that is published. */
export class LocalTrack {
  /** @type {string | null} the server's id, once it is published */
  id = null;
  muted = false;
  /** Muted by an admin, who alone can undo it. */
  mutedByAdmin = false;
  #publisher;

  constructor(publisher, { media, source, name, muted, encodings }) {
    this.#publisher = publisher;
    /** @type {MediaStreamTrack} */
    this.media = media;
    this.kind = media.kind;
    this.source = source;
    this.name = name;
    this.muted = muted;
    this.encodings = encodings;
    /** @type {RTCRtpTransceiver | null} */
    this.transceiver = null;
    this.settings = media.getSettings?.() ?? {};
    /** Settles when the server has it. */
    this.published = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    // Whoever does not wait for it shall not be told of an unhandled rejection.
    this.published.catch(() => {});
  }

  /** @param {boolean} muted */
  async mute(muted) {
    this.muted = muted;
    await this.apply();
    await this.#publisher.muteRemotely(this);
  }

  /**
   * Another source of the same kind, without a new negotiation.
   * @param {MediaStreamTrack} media
   */
  async replace(media) {
    this.media = media;
    await this.transceiver?.sender.replaceTrack(media);
    await this.apply();
  }

  /** Ends it for everybody; the source itself goes on. */
  unpublish() {
    return this.#publisher.remove(this);
  }

  /** Brings the sender in line with `muted`. */
  async apply() {
    this.media.enabled = !this.muted;
    const sender = this.transceiver?.sender;
    if (this.kind !== 'video' || !sender) return;
    // A muted video costs nothing; audio sends its silence in hardly any packets.
    const active = !this.muted && !this.#publisher.paused;
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length || parameters.encodings.every((encoding) => encoding.active === active)) return;
    for (const encoding of parameters.encodings) encoding.active = active;
    await sender.setParameters(parameters).catch(() => {});
  }
}

/**
 * Dispatches `state` ({ state }) and `error` ({ error, track }; with the track that is not taken).
 */
export class Publisher extends EventTarget {
  #request;
  #configuration;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  #fresh = true;
  #care;
  /** @type {LocalTrack[]} */
  #tracks = [];
  /** @type {{iceRestart: boolean} | null} */
  #wanted = null;
  #running = false;
  #closed = false;
  #pauses = new Backoff({ first: 500, most: 5_000 });
  /** Video is held back because the way out is too narrow for it. */
  paused = false;

  /**
   * @param {{request: (type: string, fields: object) => Promise<any>, configuration: RTCConfiguration}} options
   */
  constructor({ request, configuration }) {
    super();
    this.#request = request;
    this.#configuration = configuration;
    this.#care = new Care({ restart: () => this.#want(true), renew: () => this.renew() });
  }

  get connection() {
    return this.#connection;
  }

  get tracks() {
    return [...this.#tracks];
  }

  get failures() {
    return this.#care.failures;
  }

  /** @param {RTCConfiguration} configuration for connections to come */
  configure(configuration) {
    this.#configuration = configuration;
  }

  /**
   * @param {MediaStreamTrack} media
   * @param {{source?: string, name?: string, muted?: boolean, simulcast?: boolean,
   *   encodings?: RTCRtpEncodingParameters[]}} options
   */
  add(media, { source, name = '', muted = false, simulcast: several = true, encodings } = {}) {
    const chosen = source ?? (media.kind === 'audio' ? 'microphone' : 'camera');
    const track = new LocalTrack(this, { media, source: chosen, name, muted, encodings: encodings ?? encodingsOf(media, chosen, several) });
    this.#tracks.push(track);
    this.#want(false);
    return track;
  }

  async remove(track) {
    const at = this.#tracks.indexOf(track);
    if (at < 0) return;
    this.#tracks.splice(at, 1);
    track.settle.reject(new Error('unpublished'));
    const { transceiver, id } = track;
    track.transceiver = null;
    if (transceiver) {
      transceiver.direction = 'inactive';
      await transceiver.sender.replaceTrack(null).catch(() => {});
    }
    // At once for the others; the section itself follows with the next offer.
    if (id) await this.#request('unpublish', { track: id }).catch(() => {});
    this.#want(false);
  }

  async muteRemotely(track) {
    if (!track.id) return;
    try {
      await this.#request('mute', { track: track.id, muted: track.muted });
    } catch (error) {
      if (!isLost(error)) throw error;
    }
  }

  /** Holds back video, or sends it again. */
  async pause(paused) {
    this.paused = paused;
    await Promise.all(this.#tracks.map((track) => track.apply()));
  }

  /**
   * What the server has, after the WebSocket came back.
   * @param {{mid: string, track: {id: string, muted: boolean}}[]} published
   */
  resumed(published) {
    for (const track of this.#tracks) {
      const known = published.find((p) => p.track.id === track.id);
      if (known && known.track.muted !== track.muted) this.muteRemotely(track).catch(() => {});
    }
    const missing = this.#tracks.some((track) => !published.some((p) => p.track.id === track.id));
    const surplus = published.some((p) => !this.#tracks.some((track) => track.id === p.track.id));
    if (missing || surplus || this.#wanted) this.#want(false);
  }

  /** A new connection for the same tracks. */
  renew() {
    if (this.#closed || !this.#tracks.length) return;
    this.#drop();
    this.#want(false);
  }

  networkChanged() {
    this.#care.networkChanged();
  }

  close() {
    this.#closed = true;
    this.#care.stop();
    this.#drop();
  }

  #drop() {
    const connection = this.#connection;
    this.#connection = null;
    this.#fresh = true;
    for (const track of this.#tracks) track.transceiver = null;
    if (connection) {
      connection.onconnectionstatechange = null;
      connection.close();
    }
  }

  #open() {
    const connection = new RTCPeerConnection(this.#configuration);
    this.#connection = connection;
    this.#fresh = true;
    this.#care.renewed();
    connection.onconnectionstatechange = () => {
      this.#care.state(connection.connectionState);
      this.dispatchEvent(new CustomEvent('state', { detail: { state: connection.connectionState } }));
    };
  }

  #want(iceRestart) {
    this.#wanted = { iceRestart: iceRestart || (this.#wanted?.iceRestart ?? false) };
    this.#run();
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    while (this.#wanted && !this.#closed) {
      const { iceRestart } = this.#wanted;
      this.#wanted = null;
      if (!this.#connection && !this.#tracks.length) break;
      if (!this.#connection) this.#open();
      const connection = this.#connection;
      try {
        await this.#negotiate(connection, iceRestart);
      } catch (error) {
        // Another connection has taken its place: that one's negotiation is wanted already.
        if (this.#closed || connection !== this.#connection) continue;
        if (isLost(error)) {
          // Goes on when the signaling is back.
          this.#wanted ??= { iceRestart };
          break;
        }
        if (error.code === 'unavailable') {
          // No data plane at the moment; there will be one again.
          setTimeout(() => this.#want(iceRestart), this.#pauses.next());
          break;
        }
        // Offered again they would be refused again, and all others with them.
        const refused = this.#tracks.filter((track) => !track.id);
        for (const track of refused) await this.#refuse(track, error);
        if (!refused.length) this.dispatchEvent(new CustomEvent('error', { detail: { error } }));
        if (connection.signalingState === 'have-local-offer') {
          await connection.setLocalDescription({ type: 'rollback' }).catch(() => {});
        }
      }
    }
    this.#running = false;
  }

  async #negotiate(connection, iceRestart) {
    for (const track of this.#tracks) {
      if (!track.transceiver) await this.#place(connection, track);
    }
    await connection.setLocalDescription(await connection.createOffer({ iceRestart }));
    const told = [...this.#tracks].filter((track) => track.transceiver?.mid);
    const answer = await this.#request('publish', {
      offer: connection.localDescription.sdp,
      fresh: this.#fresh,
      tracks: told.map((track) => ({
        mid: track.transceiver.mid,
        source: track.source,
        name: track.name,
        muted: track.muted,
        ...(track.settings.width && track.settings.height ? { width: track.settings.width, height: track.settings.height } : {}),
      })),
    });
    if (connection !== this.#connection) return;
    await connection.setRemoteDescription({ type: 'answer', sdp: withOpusWishes(answer.answer) });
    this.#fresh = false;
    this.#pauses.reset();
    for (const track of told) {
      if (!this.#tracks.includes(track)) continue;
      const published = answer.tracks.find((entry) => entry.mid === track.transceiver?.mid);
      if (!published) {
        await this.#refuse(track, new ForebayError('codec', 'the room allows none of the codecs it could be sent in'));
        continue;
      }
      track.id = published.track.id;
      track.settle.resolve(track);
      await track.apply();
      if (published.track.muted !== track.muted) this.muteRemotely(track).catch(() => {});
    }
  }

  /** The server does not take it: it is sent no longer. */
  async #refuse(track, error) {
    this.#tracks.splice(this.#tracks.indexOf(track), 1);
    const { transceiver } = track;
    Object.assign(track, { id: null, transceiver: null });
    if (transceiver) {
      transceiver.direction = 'inactive';
      await transceiver.sender.replaceTrack(null).catch(() => {});
    }
    track.settle.reject(error);
    this.dispatchEvent(new CustomEvent('error', { detail: { error, track } }));
  }

  /** A section for the track; an idle one of the same shape is used again. */
  async #place(connection, track) {
    const idle = connection.getTransceivers().find((transceiver) => transceiver.direction === 'inactive'
      && transceiver.sender.track === null
      && transceiver.receiver.track.kind === track.kind
      && transceiver.sender.getParameters().encodings.length === track.encodings.length
      && !this.#tracks.some((other) => other.transceiver === transceiver));
    if (idle) {
      track.transceiver = idle;
      await idle.sender.replaceTrack(track.media);
      idle.direction = 'sendonly';
      return;
    }
    track.transceiver = connection.addTransceiver(track.media, { direction: 'sendonly', sendEncodings: track.encodings });
  }
}

function encodingsOf(media, source, several) {
  if (media.kind === 'audio') return [{ maxBitrate: source === 'screen_audio' ? 96_000 : 40_000 }];
  if (source === 'screen') return screen();
  const { width = 640, height = 360 } = media.getSettings?.() ?? {};
  return several ? simulcast(width, height) : simulcast(width, height).slice(-1).map(({ maxBitrate }) => ({ maxBitrate }));
}
