// The WebSocket: requests and their answers, keeping it open, coming back.

import { Backoff } from './backoff.js';
import { FATAL, ForebayError } from './errors.js';

const VERSION = 1;
/** Time for the socket to open and for the answer to `join`, milliseconds. */
const OPENING = 8_000;
/** Time for the answer to any other request. */
const ANSWER = 15_000;
/** A connection that held this long was a good one: the pauses start anew. */
const STABLE = 5_000;

/**
 * Dispatches `welcome` ({ resumed, welcome }), `said` (an event of the
 * server), `state` ({ state, error }). States: `joining`, `connected`,
 * `reconnecting`, `closed`.
 */
export class Signal extends EventTarget {
  #url;
  #token;
  #autoSubscribe;
  #Socket;
  #backoff;
  #socket = null;
  #state = 'joining';
  #resumeToken = null;
  #nextId = 1;
  /** @type {Map<number, {resolve: Function, reject: Function, timer: number}>} */
  #pending = new Map();
  #heardAt = 0;
  #welcomedAt = 0;
  #timers = { opening: 0, ping: 0, retry: 0 };
  #timeout = 15_000;
  #lastError = null;

  /**
   * @param {{url: string, token: string | (() => string | Promise<string>), autoSubscribe?: boolean,
   *   Socket?: typeof WebSocket, backoff?: Backoff}} options
   */
  constructor({ url, token, autoSubscribe = true, Socket = globalThis.WebSocket, backoff = new Backoff() }) {
    super();
    this.#url = url;
    this.#token = token;
    this.#autoSubscribe = autoSubscribe;
    this.#Socket = Socket;
    this.#backoff = backoff;
  }

  get state() {
    return this.#state;
  }

  /** Connects and keeps connecting until it is closed. */
  open() {
    this.#attempt();
  }

  /** Connects now instead of after the pause. */
  hurry() {
    if (this.#timers.retry) this.#attempt();
  }

  /**
   * Gives the connection up when nothing has come over it for `milliseconds`.
   * @param {number} milliseconds
   */
  suspect(milliseconds) {
    if (this.#state !== 'connected') {
      this.hurry();
    } else if (performance.now() - this.#heardAt > milliseconds) {
      this.#lost();
    }
  }

  /**
   * @param {string} type
   * @param {object} [fields]
   * @returns {Promise<object>} the answer
   */
  request(type, fields = {}) {
    if (this.#state !== 'connected') return Promise.reject(new ForebayError('lost', 'not connected'));
    return this.#send(type, fields, ANSWER);
  }

  /** Ends it for good. */
  close(error = null) {
    if (this.#state === 'closed') return;
    this.#drop(new ForebayError('closed', 'closed'));
    this.#enter('closed', error);
  }

  #send(type, fields, within) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new ForebayError('timeout', `no answer to ${type}`));
      }, within);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ type, id, ...fields }));
    });
  }

  #attempt() {
    this.#drop(new ForebayError('lost', 'connecting anew'));
    let socket;
    try {
      socket = new this.#Socket(this.#url);
    } catch (error) {
      this.close(new ForebayError('bad_url', String(error.message ?? error)));
      return;
    }
    this.#socket = socket;
    this.#lastError = null;
    this.#timers.opening = setTimeout(() => this.#lost(), OPENING);
    socket.onopen = () => this.#introduce(socket);
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code }) => this.#lost(code);
  }

  async #introduce(socket) {
    const resuming = this.#resumeToken !== null;
    try {
      const token = resuming ? null : await (typeof this.#token === 'function' ? this.#token() : this.#token);
      if (socket !== this.#socket) return;
      const welcome = resuming
        ? await this.#send('resume', { version: VERSION, resume_token: this.#resumeToken }, OPENING)
        : await this.#send('join', { version: VERSION, token, auto_subscribe: this.#autoSubscribe }, OPENING);
      if (socket === this.#socket) this.#welcomed(welcome, resuming);
    } catch (error) {
      if (socket !== this.#socket) return;
      this.#lastError = error;
      if (error.code === 'resume_failed') {
        this.#resumeToken = null;
        this.#attempt();
      } else if (FATAL.has(error.code)) {
        this.close(error);
      } else {
        this.#lost();
      }
    }
  }

  #welcomed(welcome, resumed) {
    clearTimeout(this.#timers.opening);
    this.#resumeToken = welcome.resume_token;
    this.#welcomedAt = performance.now();
    this.#timeout = (welcome.timeout_s ?? 15) * 1000;
    const interval = (welcome.ping_interval_s ?? 5) * 1000;
    clearInterval(this.#timers.ping);
    this.#timers.ping = setInterval(() => this.#ping(), interval);
    // The room's state first: what listens to `state` may send requests.
    this.#state = 'connected';
    this.dispatchEvent(new CustomEvent('welcome', { detail: { resumed, welcome } }));
    if (this.#state === 'connected') this.#enter('connected');
  }

  #ping() {
    if (performance.now() - this.#heardAt > this.#timeout) {
      this.#lost();
      return;
    }
    this.#send('ping', {}, this.#timeout).catch(() => {});
  }

  #heard(data) {
    this.#heardAt = performance.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const { type, id } = message;
    if (id === undefined) {
      if (type === 'error') this.#lastError = new ForebayError(message.code, message.message);
      this.dispatchEvent(new CustomEvent('said', { detail: message }));
      return;
    }
    const waiting = this.#pending.get(id);
    if (!waiting) return;
    this.#pending.delete(id);
    clearTimeout(waiting.timer);
    if (type === 'error') waiting.reject(new ForebayError(message.code, message.message));
    else waiting.resolve(message);
  }

  /** @param {number} [code] of the close */
  #lost(code) {
    if (this.#state === 'closed') return;
    const error = this.#lastError;
    // 1000 ends a stay that the server ended; 1008 is for errors that close.
    if (code === 1000 || (code === 1008 && error && FATAL.has(error.code))) {
      this.close(error);
      return;
    }
    if (this.#state === 'connected' && performance.now() - this.#welcomedAt > STABLE) this.#backoff.reset();
    this.#drop(new ForebayError('lost', 'the connection was lost'));
    const limited = error?.code === 'rate_limited' ? 5_000 : 0;
    this.#timers.retry = setTimeout(() => this.#attempt(), limited + this.#backoff.next());
    this.#enter(this.#welcomedAt ? 'reconnecting' : 'joining', error);
  }

  /** Lets go of the socket at once; its own close may take a minute on a dead network. */
  #drop(error) {
    clearTimeout(this.#timers.opening);
    clearTimeout(this.#timers.retry);
    clearInterval(this.#timers.ping);
    this.#timers.retry = 0;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of pending) {
      clearTimeout(timer);
      reject(error);
    }
  }

  #enter(state, error = null) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent('state', { detail: { state, error } }));
  }
}
