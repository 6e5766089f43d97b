// The call: the room's events become tiles, buttons become requests.

import { Own } from './own.js';
import { Stage } from './stage.js';
import { Tile } from './tile.js';

const element = (id) => document.getElementById(id);
const LINK = {
  joining: 'Connecting …',
  connected: 'Connected',
  reconnecting: 'Reconnecting …',
  closed: 'Not connected',
};
const MODES = {
  audio: 'The connection is too slow for pictures: sound only for now.',
  text: 'No media gets through. Messages still do; media is tried again.',
};

export class Call {
  #room;
  #own;
  #stage = new Stage(element('stage'));
  #chat;
  #audio = new Map();
  #ended;
  #notice = '';
  #listeners = new AbortController();

  /**
   * @param {import('../client/room.js').Room} room
   * @param {import('./access.js').Access} access
   * @param {import('./chat.js').Chat} chat
   * @param {(complaint: string) => void} ended
   */
  constructor(room, access, chat, ended) {
    this.#room = room;
    this.#own = new Own(room, access);
    this.#chat = chat;
    this.#ended = ended;
    chat.room = room;
    chat.clear();
    document.documentElement.dataset.state = 'call';
    element('call').hidden = false;
    element('room-name').textContent = room.name;
    document.title = `${room.name} · Forebay`;
    this.#controls();
    this.#listen();
    this.#addTile(room.me.id, { name: room.me.name || room.me.identity, own: true });
    for (const participant of room.participants.values()) {
      this.#addTile(participant.id, { name: participant.name });
      for (const track of participant.tracks.values()) this.#track(track);
    }
    this.#link(room.state);
  }

  get own() {
    return this.#own;
  }

  /** @param {{camera: boolean, microphone: boolean}} wanted */
  async start({ camera, microphone }) {
    if (this.#room.grants?.publish === false) {
      for (const id of ['mic', 'camera', 'screen']) element(id).disabled = true;
      return;
    }
    await Promise.all([
      microphone ? this.#own.turn('microphone', true) : null,
      camera ? this.#own.turn('camera', true) : null,
    ]);
    this.#buttons();
  }

  #on(target, type, handler) {
    target.addEventListener(type, handler, { signal: this.#listeners.signal });
  }

  #controls() {
    this.#on(element('mic'), 'click', () => this.#own.toggle('microphone'));
    this.#on(element('camera'), 'click', () => this.#own.toggle('camera'));
    this.#on(element('screen'), 'click', () => this.#own.share());
    this.#on(element('leave'), 'click', () => this.#room.leave());
    this.#on(element('info'), 'click', () => this.#details(document.documentElement.dataset.details === 'off'));
    this.#on(document, 'keydown', (event) => {
      const typing = event.target.closest('input, textarea');
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const button = { m: 'mic', v: 'camera', i: 'info' }[event.key.toLowerCase()];
      if (button && !element(button).disabled) element(button).click();
    });
    this.#on(window, 'pagehide', () => this.#room.leave());
    // Browsers of phones share no screens.
    element('screen').hidden = !navigator.mediaDevices?.getDisplayMedia;
    this.#details(matchMedia('(min-width: 48rem)').matches);
    this.#buttons();
  }

  #listen() {
    const on = (type, handler) => this.#on(this.#room, type, ({ detail }) => handler(detail));
    on('state', ({ state, error }) => {
      this.#link(state);
      if (state === 'closed') this.#close(error);
    });
    on('participant-joined', ({ participant }) => {
      this.#addTile(participant.id, { name: participant.name });
      this.#chat.note(`${participant.name} joined.`);
    });
    on('participant-left', ({ participant, reason }) => {
      this.#stage.remove(participant.id);
      this.#chat.note(`${participant.name} ${reason === 'kicked' ? 'was removed' : 'left'}.`);
    });
    on('track-published', ({ track }) => this.#track(track));
    on('track-unpublished', ({ track }) => this.#untrack(track));
    on('track-media', ({ track }) => this.#refresh(track));
    on('track-unavailable', ({ track }) => this.#refresh(track));
    on('layer', ({ track }) => this.#refresh(track));
    on('track-muted', ({ track, by }) => {
      if (track.participant) {
        this.#refresh(track);
      } else {
        if (by === 'admin') this.#say(track.muted ? `An admin has muted your ${track.source}.` : '');
        this.#buttons();
      }
    });
    on('speaker', ({ active }) => {
      for (const [id, tile] of this.#stage.all) tile.speaking(id === active);
    });
    on('quality', ({ participant, quality, mos }) => this.#stage.get(participant?.id ?? this.#room.me.id)?.quality(quality, mos));
    on('message', ({ participant, text, private: only }) => this.#chat.say(`${participant?.name ?? 'Somebody'}${only ? ' (to you)' : ''}`, text));
    on('stats', ({ sample }) => this.#sample(sample));
    on('mode', () => this.#banner());
    on('blocked', () => this.#banner({ text: 'The browser plays no sound before a click.', button: 'Play sound', run: () => this.#room.startAudio() }));
    on('error', ({ error, track }) => track && this.#own.refused(track, error));
    this.#on(this.#own, 'changed', () => this.#buttons());
    this.#on(this.#own, 'trouble', ({ detail: { text } }) => this.#say(text));
  }

  #addTile(id, options) {
    if (this.#stage.get(id)) return;
    this.#stage.add(id, new Tile({ id, ...options, onPin: () => this.#pin(id) }));
  }

  /** Who is enlarged is also served first when bandwidth is short. */
  #pin(id) {
    const pinned = this.#stage.pin(id);
    for (const participant of this.#room.participants.values()) {
      for (const track of participant.tracks.values()) {
        if (track.kind === 'video') track.prefer({ priority: tileOf(track) === pinned ? 20 : 10 });
      }
    }
  }

  #track(track) {
    if (track.kind === 'audio') {
      const audio = document.createElement('audio');
      audio.autoplay = true;
      this.#audio.set(track.id, audio);
      element('call').append(audio);
      track.attach(audio);
    } else {
      const id = tileOf(track);
      if (id !== track.participant.id) this.#addTile(id, { name: track.participant.name, screen: true });
      const tile = this.#stage.get(id);
      if (tile) track.attach(tile.video);
    }
    this.#refresh(track);
  }

  #untrack(track) {
    if (track.kind === 'audio') {
      this.#audio.get(track.id)?.remove();
      this.#audio.delete(track.id);
      if (track.source === 'microphone') this.#stage.get(track.participant.id)?.muted(false);
      return;
    }
    const id = tileOf(track);
    if (id !== track.participant.id) this.#stage.remove(id);
    else this.#stage.get(id)?.seen(false);
  }

  #refresh(track) {
    const tile = this.#stage.get(tileOf(track));
    if (!tile) return;
    if (track.kind === 'audio') {
      if (track.source === 'microphone') tile.muted(track.muted);
      return;
    }
    const why = track.layer?.spatial === null && !track.muted ? track.layer.why ?? null : null;
    tile.seen(track.media !== null && !track.muted);
    tile.held(why !== null);
    tile.trouble(track.unavailable === 'codec' ? `This browser cannot play ${track.codec}.`
      : track.unavailable ? 'Too many videos.'
        : why === 'bandwidth' ? 'Paused: the connection is too slow.'
          : why === 'paused' ? 'Paused: other videos come first.' : '');
  }

  #sample(sample) {
    for (const participant of this.#room.participants.values()) {
      for (const track of participant.tracks.values()) {
        if (track.kind === 'video') this.#stage.get(tileOf(track))?.details(track.muted ? null : sample.subscriber.tracks[track.id], track.layer, track.encodings);
      }
    }
    for (const track of this.#room.localTracks) {
      const id = track.source === 'screen' ? 'own-screen' : this.#room.me.id;
      if (track.kind === 'video') this.#stage.get(id)?.details(track.muted ? null : sample.publisher.tracks[track.id], null, track.encodings.length);
    }
    const { path } = sample.subscriber.path ? sample.subscriber : sample.publisher;
    const words = [];
    if (path?.roundTripMs) words.push(`${path.roundTripMs < 10 ? path.roundTripMs.toFixed(1) : Math.round(path.roundTripMs)} ms`);
    if (path?.local === 'relay') words.push('relayed');
    if (this.#room.state === 'connected') element('link-text').textContent = ['Connected', ...words].join(' · ');
  }

  #buttons() {
    const set = (id, on, name, label) => {
      const button = element(id);
      button.classList.toggle('off', !on);
      button.setAttribute('aria-pressed', String(on));
      button.setAttribute('aria-label', label);
      button.querySelector('use').setAttribute('href', `#i-${name}${on ? '' : '-off'}`);
      button.querySelector('span').textContent = label;
    };
    const microphone = this.#own.on('microphone');
    const camera = this.#own.on('camera');
    set('mic', microphone, 'mic', microphone ? 'Mute' : 'Unmute');
    set('camera', camera, 'camera', camera ? 'Stop camera' : 'Start camera');
    element('mic').setAttribute('aria-pressed', String(!microphone));
    element('camera').setAttribute('aria-pressed', String(!camera));
    const sharing = this.#own.screen.find((track) => track.kind === 'video');
    element('screen').setAttribute('aria-pressed', String(Boolean(sharing)));
    element('screen').setAttribute('aria-label', sharing ? 'Stop sharing' : 'Share screen');
    element('screen').querySelector('span').textContent = sharing ? 'Stop sharing' : 'Share screen';
    element('chat-toggle').setAttribute('aria-label', 'Chat');
    element('info').setAttribute('aria-label', 'Details');
    element('leave').setAttribute('aria-label', 'Leave');

    const tile = this.#stage.get(this.#room.me.id);
    if (tile) {
      const track = this.#own.tracks.camera;
      show(tile.video, camera ? track.media : null);
      tile.seen(camera);
      tile.muted(!microphone);
    }
    if (sharing) {
      this.#addTile('own-screen', { name: this.#room.me.name || this.#room.me.identity, own: true, screen: true });
      show(this.#stage.get('own-screen').video, sharing.media);
      this.#stage.get('own-screen').seen(true);
    } else {
      this.#stage.remove('own-screen');
    }
  }

  #details(on) {
    document.documentElement.dataset.details = on ? 'on' : 'off';
    element('info').setAttribute('aria-pressed', String(on));
  }

  #link(state) {
    element('link').dataset.state = state;
    element('link-text').textContent = LINK[state];
    this.#banner();
  }

  #say(text) {
    this.#notice = text;
    this.#banner();
  }

  /** @param {{text: string, button?: string, run?: () => void} | null} [special] */
  #banner(special = null) {
    const banner = element('banner');
    const text = special?.text
      ?? (this.#room.state === 'reconnecting' ? 'The connection to the server is interrupted. The call itself goes on.' : MODES[this.#room.mode] ?? this.#notice);
    banner.replaceChildren(text);
    if (special?.button) {
      const button = document.createElement('button');
      Object.assign(button, { type: 'button', className: 'primary small', textContent: special.button });
      button.addEventListener('click', () => {
        special.run();
        this.#banner();
      });
      banner.append(button);
    }
    banner.hidden = !text;
    if (this.#room.mode === 'text') this.#chat.show(true);
  }

  #close(error) {
    this.#listeners.abort();
    this.#own.stop();
    for (const audio of this.#audio.values()) audio.remove();
    this.#stage.clear();
    this.#chat.room = null;
    element('link').dataset.state = 'closed';
    element('link-text').textContent = LINK.closed;
    element('banner').hidden = true;
    element('room-name').textContent = 'Room';
    document.title = 'Room · Forebay';
    this.#ended(error ? error.code === 'kicked' ? `You were removed from the room${error.message && error.message !== 'kicked' ? `: ${error.message}` : ''}.` : error.message : '');
  }
}

function tileOf(track) {
  return track.source === 'screen' ? `${track.participant.id}-screen` : track.participant.id;
}

function show(video, media) {
  const current = video.srcObject?.getVideoTracks()[0] ?? null;
  if (current !== media) video.srcObject = media ? new MediaStream([media]) : null;
}
