// A room: who is in it, what is sent and received.

import { ForebayError, isLost } from './errors.js';
import { Fallback } from './fallback.js';
import { Participant, RemoteTrack } from './people.js';
import { Publisher } from './publisher.js';
import { Sampler } from './sampler.js';
import { Signal } from './signal.js';
import { Subscriber } from './subscriber.js';
import { Viewport, decodable } from './viewport.js';

/**
 * @typedef {object} JoinOptions
 * @property {string} [url] of the WebSocket; `/v1/ws` of the page's own server when left out
 * @property {string | (() => string | Promise<string>)} token or what makes one; it is called for every new join
 * @property {boolean} [autoSubscribe] everything in the room, true when left out
 * @property {number} [maxVideos] decoded at a time; by the number of cores when left out
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]
 * @property {RTCConfiguration} [rtc] more for RTCPeerConnection
 */

/**
 * Events, all with their fields in `detail`:
 * `state` { state: joining | connected | reconnecting | closed, error } ·
 * `participant-joined` { participant } · `participant-left` { participant, reason } ·
 * `track-published` { track } · `track-unpublished` { track } · `track-media` { track } (it can be played) ·
 * `track-muted` { track, muted, by } (also one's own) · `track-unavailable` { track } · `layer` { track } ·
 * `speaker` { active, speakers } · `quality` { participant, quality, mos } · `message` { participant, text, private } ·
 * `media-state` { connection: publisher | subscriber, state } · `mode` { mode: full | audio | text } ·
 * `stats` { sample } · `blocked` {} (call `startAudio` from a click) · `kicked` { reason } · `error` { error, track } (one's own that is not taken)
 */
export class Room extends EventTarget {
  /** @type {Map<string, Participant>} by id, without oneself */
  participants = new Map();
  /** @type {{id: string, identity: string, name: string} | null} */
  me = null;
  name = '';
  grants = {};
  limits = {};
  /** @type {import('./fallback.js').Mode} */
  mode = 'full';
  /** @type {{participant: string, level: number}[]} loudest first */
  speakers = [];
  /** @type {string | null} */
  activeSpeaker = null;

  #options;
  #signal;
  #publisher;
  #subscriber;
  #viewport = new Viewport((changes) => this.#tellLayers(changes));
  #fallback = new Fallback();
  #sampler;
  #lastN;
  /** What was said of tracks by hand, to be said again after a new join. @type {Map<string, boolean>} */
  #subscriptions = new Map();
  /** @type {Map<string, object>} */
  #wishes = new Map();
  /** Media that came before its track was announced. @type {Map<string, MediaStreamTrack>} */
  #media = new Map();
  #silenced = new Set();
  #onNetwork = ({ type }) => this.#networkChanged(type);
  #kindOfNetwork = navigator.connection?.type;

  /** @param {JoinOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#lastN = options.maxVideos ?? decodable(navigator.hardwareConcurrency);
    this.#signal = new Signal({
      url: options.url ?? new URL('/v1/ws', location.href).href.replace(/^http/, 'ws'),
      token: options.token,
      autoSubscribe: options.autoSubscribe ?? true,
    });
    const request = (type, fields) => this.#signal.request(type, fields);
    const configuration = this.#configuration([]);
    this.#publisher = new Publisher({ request, configuration });
    this.#subscriber = new Subscriber({ request, configuration });
    this.#sampler = new Sampler(this, () => ({ publisher: this.#publisher, subscriber: this.#subscriber }));
    this.#listen();
  }

  get state() {
    return this.#signal.state;
  }

  /** What one publishes. @returns {import('./publisher.js').LocalTrack[]} */
  get localTracks() {
    return this.#publisher.tracks;
  }

  /** The latest statistics. */
  get sample() {
    return this.#sampler.latest;
  }

  /** The two RTCPeerConnections, for who wants to look. */
  get connections() {
    return { publisher: this.#publisher.connection, subscriber: this.#subscriber.connection };
  }

  /** Resolves when the room was entered. */
  open() {
    return new Promise((resolve, reject) => {
      const settled = ({ detail: { state, error } }) => {
        if (state === 'joining' || state === 'reconnecting') return;
        this.#signal.removeEventListener('state', settled);
        if (state === 'connected') resolve(this);
        else reject(error ?? new ForebayError('closed', 'the server ended the connection'));
      };
      this.#signal.addEventListener('state', settled);
      this.#signal.open();
    });
  }

  /**
   * Sends a track to the room.
   * @param {MediaStreamTrack} media
   * @param {{source?: 'microphone' | 'camera' | 'screen' | 'screen_audio' | 'other', name?: string, muted?: boolean,
   *   simulcast?: boolean, encodings?: RTCRtpEncodingParameters[]}} [options]
   */
  publish(media, options) {
    return this.#publisher.add(media, options);
  }

  /**
   * @param {string} text at most `limits.text_bytes` of UTF-8
   * @param {string} [to] a participant's id; everybody when left out
   */
  async send(text, to) {
    await this.#signal.request('message', to ? { text, to } : { text });
  }

  /** Somebody's track, as an admin. */
  async muteOther(track, muted) {
    await this.#signal.request('mute', { track: track.id, muted });
  }

  async kick(participant, reason = '') {
    await this.#signal.request('kick', { participant: participant.id, reason });
  }

  /** Leaves; the others learn of it at once. */
  async leave() {
    const said = this.#signal.state === 'connected' ? this.#signal.request('leave') : Promise.resolve();
    await Promise.race([said.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000))]);
    this.#signal.close();
  }

  /** Plays what the browser held back; to be called from a click. */
  async startAudio() {
    const elements = [...this.#silenced];
    this.#silenced.clear();
    await Promise.all(elements.map((element) => element.play().catch(() => {})));
  }

  // For tracks, see people.js.

  watch(track, element) {
    this.#viewport.watch(track, element);
  }

  unwatch(element) {
    this.#viewport.unwatch(element);
  }

  silenced(element) {
    if (!this.#silenced.size) this.#emit('blocked', {});
    this.#silenced.add(element);
  }

  async subscribe(track, wanted) {
    this.#subscriptions.set(track.id, wanted);
    await this.#tell(wanted ? 'subscribe' : 'unsubscribe', { tracks: [track.id] });
  }

  async prefer(track, wishes) {
    const all = { ...this.#wishes.get(track.id), ...wishes };
    this.#wishes.set(track.id, all);
    await this.#tell('layers', { tracks: [{ track: track.id, ...all }] });
  }

  /** @param {number} videos decoded at a time */
  async limitVideos(videos) {
    this.#lastN = Math.min(Math.max(0, videos), 255);
    await this.#tell('layers', { last_n: this.#lastN });
  }

  /** @param {string} id @returns {RemoteTrack | undefined} */
  track(id) {
    for (const { tracks } of this.participants.values()) if (tracks.has(id)) return tracks.get(id);
    return undefined;
  }

  /** Requests that are repeated by `#welcomed` when they are lost now. */
  async #tell(type, fields) {
    try {
      await this.#signal.request(type, fields);
    } catch (error) {
      if (!isLost(error) && error.code !== 'not_found' && error.code !== 'closed') this.#emit('error', { error });
    }
  }

  #tellLayers(changes) {
    const known = changes.filter(({ track }) => this.track(track));
    if (known.length) this.#tell('layers', { tracks: known.map((change) => ({ ...change, ...this.#wishes.get(change.track) })) });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #configuration(iceServers) {
    return {
      bundlePolicy: 'max-bundle',
      rtcpMuxPolicy: 'require',
      iceServers,
      ...(this.#options.iceTransportPolicy ? { iceTransportPolicy: this.#options.iceTransportPolicy } : {}),
      ...this.#options.rtc,
    };
  }

  #listen() {
    this.#signal.addEventListener('welcome', ({ detail }) => this.#welcomed(detail));
    this.#signal.addEventListener('said', ({ detail }) => this.#said(detail));
    this.#signal.addEventListener('state', ({ detail }) => {
      if (detail.state === 'closed') this.#ended();
      this.#emit('state', detail);
    });
    for (const [connection, side] of [['publisher', this.#publisher], ['subscriber', this.#subscriber]]) {
      side.addEventListener('state', ({ detail: { state } }) => this.#emit('media-state', { connection, state }));
      side.addEventListener('error', ({ detail }) => this.#emit('error', detail));
    }
    this.#subscriber.addEventListener('media', ({ detail: { assigned } }) => {
      this.#media = assigned;
      this.#assign();
    });
    this.#sampler.addEventListener('sample', ({ detail }) => this.#sampled(detail));
    addEventListener('online', this.#onNetwork);
    navigator.connection?.addEventListener('change', this.#onNetwork);
  }

  /** @param {string} type of the event: Chromium's `change` tells of every new estimate of the speed as well */
  #networkChanged(type) {
    const kind = navigator.connection?.type;
    const sameKind = kind === this.#kindOfNetwork;
    this.#kindOfNetwork = kind;
    if (sameKind && type === 'change') return;
    this.#signal.suspect(2_000);
    this.#publisher.networkChanged();
    this.#subscriber.networkChanged();
  }

  #welcomed({ resumed, welcome }) {
    const rejoined = !resumed && this.me !== null;
    this.me = welcome.participant;
    this.name = welcome.room;
    this.grants = welcome.grants;
    this.limits = welcome.limits ?? {};
    const configuration = this.#configuration(welcome.ice_servers ?? []);
    this.#publisher.configure(configuration);
    this.#subscriber.configure(configuration);
    this.#reconcile(welcome.participants);
    this.#speak(welcome.speakers?.[0]?.participant ?? null, welcome.speakers ?? []);
    if (rejoined) {
      // Another participant for the server: nothing of the old one is left.
      this.#subscriber.drop();
      for (const track of this.#publisher.tracks) track.id = null;
      this.#publisher.renew();
    } else if (resumed) {
      const anew = welcome.reconnect ?? [];
      if (anew.includes('publisher')) this.#publisher.renew();
      else this.#publisher.resumed(welcome.published ?? []);
      if (anew.includes('subscriber')) this.#subscriber.drop();
      else this.#subscriber.resumed();
    }
    this.#tell('layers', { last_n: this.#lastN, tracks: [] });
    for (const wanted of [true, false]) {
      const tracks = [...this.#subscriptions].filter(([id, is]) => is === wanted && this.track(id)).map(([id]) => id);
      if (tracks.length) this.#tell(wanted ? 'subscribe' : 'unsubscribe', { tracks });
    }
    this.#viewport.repeat();
    this.#sampler.start();
  }

  /** Makes the room what the server says it is, with an event for every difference. */
  #reconcile(infos) {
    const present = new Set(infos.map(({ id }) => id));
    for (const participant of [...this.participants.values()]) {
      if (!present.has(participant.id)) this.#left(participant, 'left');
    }
    for (const info of infos) {
      const participant = this.participants.get(info.id);
      if (!participant) {
        this.#joined(info);
        continue;
      }
      const tracks = new Set(info.tracks.map(({ id }) => id));
      for (const track of [...participant.tracks.values()]) if (!tracks.has(track.id)) this.#unpublished(track);
      for (const track of info.tracks) this.#published(participant, track);
    }
  }

  #joined(info) {
    if (info.id === this.me?.id || this.participants.has(info.id)) return;
    const participant = new Participant(info);
    this.participants.set(info.id, participant);
    this.#emit('participant-joined', { participant });
    for (const track of info.tracks ?? []) this.#published(participant, track);
  }

  #left(participant, reason) {
    for (const track of [...participant.tracks.values()]) this.#unpublished(track);
    this.participants.delete(participant.id);
    this.#emit('participant-left', { participant, reason });
  }

  #published(participant, info) {
    const known = participant.tracks.get(info.id);
    if (known) {
      const muted = known.muted;
      known.update(info);
      if (muted !== info.muted) this.#emit('track-muted', { track: known, muted: info.muted, by: 'self' });
      return;
    }
    const track = new RemoteTrack(this, participant, info);
    participant.tracks.set(track.id, track);
    this.#emit('track-published', { track });
    this.#assign();
  }

  #unpublished(track) {
    track.detach();
    track.receive(null);
    this.#viewport.forget(track.id);
    this.#subscriptions.delete(track.id);
    this.#wishes.delete(track.id);
    track.participant.tracks.delete(track.id);
    this.#emit('track-unpublished', { track });
  }

  /** Hands the received media to the tracks. */
  #assign() {
    const tracks = [...this.participants.values()].flatMap((participant) => [...participant.tracks.values()]);
    // Taken away first: a section may have passed from one track to another.
    for (const track of tracks) if (!this.#media.has(track.id)) track.receive(null);
    for (const track of tracks) {
      const media = this.#media.get(track.id);
      if (media && track.receive(media)) this.#emit('track-media', { track });
    }
  }

  #said(message) {
    const participant = this.participants.get(message.participant);
    switch (message.type) {
      case 'offer':
        this.#subscriber.offered(message);
        break;
      case 'participant_joined':
        this.#joined(message.participant);
        break;
      case 'participant_left':
        if (participant) this.#left(participant, message.reason);
        break;
      case 'track_published':
        if (participant) this.#published(participant, message.track);
        break;
      case 'track_unpublished': {
        const track = participant?.tracks.get(message.track);
        if (track) this.#unpublished(track);
        break;
      }
      case 'track_muted':
        this.#muted(message);
        break;
      case 'track_unavailable':
        this.#change(message.track, 'track-unavailable', (track) => { track.unavailable = message.reason; });
        break;
      case 'layer': {
        const { spatial, temporal, why } = message;
        this.#change(message.track, 'layer', (track) => { track.layer = { spatial, temporal, why }; });
        break;
      }
      case 'speaker':
        this.#speak(message.active, message.speakers);
        break;
      case 'quality':
        if (participant) Object.assign(participant, { quality: message.quality, mos: message.mos });
        this.#emit('quality', { participant: participant ?? null, quality: message.quality, mos: message.mos });
        break;
      case 'message':
        this.#emit('message', { participant: participant ?? null, text: message.text, private: message.private });
        break;
      case 'reconnect':
        if (message.connections.includes('publisher')) this.#publisher.renew();
        if (message.connections.includes('subscriber')) this.#subscriber.drop();
        break;
      case 'kicked':
        this.#emit('kicked', { reason: message.reason });
        this.#signal.close(new ForebayError('kicked', message.reason));
        break;
      case 'error':
        this.#emit('error', { error: new ForebayError(message.code, message.message) });
        break;
      default:
    }
  }

  #change(id, type, change) {
    const track = this.track(id);
    if (!track) return;
    change(track);
    this.#emit(type, { track });
  }

  #muted({ participant, track: id, muted, by }) {
    if (participant === this.me.id) {
      const track = this.#publisher.tracks.find((one) => one.id === id);
      if (!track) return;
      track.mutedByAdmin = muted && by === 'admin';
      track.muted = muted;
      track.apply();
      this.#emit('track-muted', { track, muted, by });
      return;
    }
    this.#change(id, 'track-muted', (track) => { track.muted = muted; });
  }

  #speak(active, speakers) {
    this.activeSpeaker = active;
    this.speakers = speakers;
    this.#emit('speaker', { active, speakers });
  }

  #sampled({ sample, report }) {
    if (report.length) this.#tell('stats', { tracks: report });
    const mode = this.#fallback.sample({
      outgoing: sample.publisher.path?.outgoing ?? null,
      loss: sample.publisher.loss,
      sending: sample.publisher.sending,
      failures: Math.max(this.#publisher.failures, this.#subscriber.failures),
      connected: ['publisher', 'subscriber'].some((side) => sample[side].state === 'connected'),
    });
    if (mode !== this.mode) {
      this.mode = mode;
      this.#publisher.pause(mode === 'audio');
      this.#emit('mode', { mode });
    }
    this.#emit('stats', { sample });
  }

  #ended() {
    removeEventListener('online', this.#onNetwork);
    navigator.connection?.removeEventListener('change', this.#onNetwork);
    this.#sampler.stop();
    this.#viewport.close();
    for (const participant of this.participants.values()) for (const track of participant.tracks.values()) track.detach();
    this.#publisher.close();
    this.#subscriber.close();
  }
}
