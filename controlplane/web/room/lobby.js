// Before the call: name, room, a look at oneself.

import { claims, mint } from './access.js';
import { explain, openCamera } from './devices.js';

const element = (id) => document.getElementById(id);

export class Lobby {
  #access;
  #enter;
  #camera = null;
  #wantCamera;
  #wantMicrophone;

  /**
   * @param {import('./access.js').Access} access
   * @param {(entry: {token: string | (() => Promise<string>), camera: boolean, microphone: boolean}) => Promise<void>} enter
   */
  constructor(access, enter) {
    this.#access = access;
    this.#enter = enter;
    this.#wantMicrophone = access.audio;
    this.#wantCamera = access.video !== 'off';
    element('join').addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    element('preview-mic').addEventListener('click', () => {
      this.#wantMicrophone = !this.#wantMicrophone;
      this.#show();
    });
    element('preview-camera').addEventListener('click', () => {
      this.#wantCamera = !this.#wantCamera;
      this.#preview();
    });
    this.#fill();
  }

  /** Comes back after a call. */
  open(complaint = '') {
    document.documentElement.dataset.state = 'lobby';
    element('lobby').hidden = false;
    element('call').hidden = true;
    this.#complain(complaint);
    this.#preview();
  }

  async submit() {
    const button = element('enter');
    button.disabled = true;
    this.#complain('');
    try {
      const token = this.#token();
      this.#stop();
      await this.#enter({ token, camera: this.#wantCamera, microphone: this.#wantMicrophone });
      element('lobby').hidden = true;
    } catch (error) {
      this.open(words(error));
    } finally {
      button.disabled = false;
    }
  }

  #fill() {
    const { token, key, room, name } = this.#access;
    const known = token ? claims(token) : null;
    element('token-field').hidden = Boolean(token || key);
    element('room-field').hidden = element('name-field').hidden = !key || Boolean(token);
    element('room').value = room ?? 'lobby';
    element('name').value = name ?? '';
    element('lobby-title').textContent = known?.room ? `Join “${known.room}”` : 'Join a room';
    if (known) element('enter').textContent = `Join as ${known.name || known.sub}`;
    this.#show();
  }

  /** What the form says: a token, or how to get one. */
  #token() {
    const { token, key } = this.#access;
    if (token) return token;
    if (key) {
      const room = element('room').value.trim();
      const name = element('name').value.trim() || 'Guest';
      if (!/^[A-Za-z0-9_.-]{1,128}$/.test(room)) throw new Error('A room’s name has letters, digits, _ - and . only.');
      return () => mint(key, room, name);
    }
    const typed = element('token').value.trim();
    if (!typed) throw new Error('Enter the access token first.');
    return typed;
  }

  async #preview() {
    this.#show();
    if (!this.#wantCamera || document.documentElement.dataset.state !== 'lobby') {
      this.#stop();
      return;
    }
    if (this.#camera) return;
    try {
      const track = await openCamera(this.#access.video);
      if (this.#camera || !this.#wantCamera || document.documentElement.dataset.state !== 'lobby') {
        track.stop();
        return;
      }
      this.#camera = track;
      element('preview').srcObject = new MediaStream([track]);
      element('preview-text').textContent = '';
    } catch (error) {
      element('preview-text').textContent = explain(error, 'camera');
    }
    this.#show();
  }

  #show() {
    for (const [id, on, name] of [['preview-mic', this.#wantMicrophone, 'mic'], ['preview-camera', this.#wantCamera, 'camera']]) {
      element(id).setAttribute('aria-pressed', String(on));
      element(id).querySelector('use').setAttribute('href', `#i-${name}${on ? '' : '-off'}`);
    }
    if (!this.#wantCamera) element('preview-text').textContent = 'Camera is off';
  }

  #stop() {
    this.#camera?.stop();
    this.#camera = null;
    element('preview').srcObject = null;
    element('preview').load();
  }

  #complain(text) {
    element('join-error').textContent = text;
    element('join-error').hidden = !text;
  }
}

function words(error) {
  switch (error?.code) {
    case 'unauthorized': return 'The access token is not good or has expired. Ask for a new link.';
    case 'forbidden': return 'This access token does not allow to join.';
    case 'limit': return `The room is full. ${error.message}`;
    case 'version': return 'This page and the server do not fit together. Reload the page.';
    default: return error?.message || 'The room cannot be entered.';
  }
}
