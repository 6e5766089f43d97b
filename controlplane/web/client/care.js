// Keeps one peer connection alive.

import { Backoff } from './backoff.js';

/** `disconnected` is often over by itself; milliseconds. */
const HOPE = 1_000;
/** What a restart has time for before the connection is made anew. */
const RESTART = 4_000;

const REAL = {
  set: (run, after) => setTimeout(run, after),
  clear: (timer) => clearTimeout(timer),
};

/**
 * Watches the states of a connection: first an ICE restart, then new
 * connections with growing pauses.
 */
export class Care {
  #restart;
  #renew;
  #timers;
  #timer = 0;
  #backoff;
  #state = 'new';
  /** Attempts to connect that have failed one after the other. */
  failures = 0;

  /**
   * @param {{restart: () => void, renew: () => void, random?: () => number,
   *   timers?: {set: (run: () => void, after: number) => any, clear: (timer: any) => void}}} options
   */
  constructor({ restart, renew, random = Math.random, timers = REAL }) {
    this.#restart = restart;
    this.#renew = renew;
    this.#timers = timers;
    this.#backoff = new Backoff({ first: 6_000, most: 30_000, random });
  }

  get connected() {
    return this.#state === 'connected';
  }

  /** @param {RTCPeerConnectionState} state */
  state(state) {
    const before = this.#state;
    this.#state = state;
    switch (state) {
      case 'connected':
        this.failures = 0;
        this.#backoff.reset();
        this.#after(0, null);
        break;
      case 'connecting':
        if (before === 'new') this.#after(this.#backoff.next(), () => this.#anew());
        break;
      case 'disconnected':
        this.#after(HOPE, () => this.#again());
        break;
      case 'failed':
        if (before === 'disconnected' || before === 'connected') this.#again();
        // A pause that began with the attempt is the whole of it: with one more
        // the server may give the session up first, and no failure is counted.
        else if (!this.#timer) this.#after(this.#backoff.attempts ? this.#backoff.next() : 0, () => this.#anew());
        break;
      default:
    }
  }

  /** The machine's addresses have changed: the way may be dead before ICE finds out. */
  networkChanged() {
    if (this.#state === 'connected' || this.#state === 'disconnected') this.#again();
  }

  /** A new connection takes the old one's place. */
  renewed() {
    this.#state = 'new';
    this.#after(0, null);
  }

  stop() {
    this.#state = 'closed';
    this.#after(0, null);
  }

  #again() {
    this.#after(RESTART, () => this.#anew());
    this.#restart();
  }

  #anew() {
    if (this.#state === 'connected' || this.#state === 'closed') return;
    this.failures += 1;
    this.#after(this.#backoff.next(), () => this.#anew());
    this.#renew();
  }

  #after(milliseconds, run) {
    this.#timers.clear(this.#timer);
    this.#timer = run ? this.#timers.set(run, milliseconds) : 0;
  }
}
