// When pictures are too much to ask: sound only, then text only.

/** Bits per second below which a video takes the sound's place. */
const NARROW = 90_000;
/** Above which pictures are tried again. */
const WIDE = 200_000;
/** Share of lost packets at which sound alone has a chance. */
const LOSSY = 0.3;
/** Samples in a row that decide. */
const BAD = 3;
const GOOD = 3;
/** First pause before pictures are tried again, samples; it doubles. */
const RETRY = 8;
const RETRY_MOST = 64;
/** Failed attempts at media while the signaling works. */
const HOPELESS = 2;

/**
 * @typedef {'full' | 'audio' | 'text'} Mode
 * @typedef {object} Conditions
 * @property {number | null} outgoing estimate of the way out, bits per second; null when the browser does not tell
 * @property {number | null} loss share of what was sent that was lost, 0–1
 * @property {boolean} sending whether video is being sent
 * @property {number} failures attempts to connect that failed in a row
 * @property {boolean} connected whether any media connection stands
 */

/** Decides by samples, one every two seconds. */
export class Fallback {
  /** @type {Mode} */
  mode = 'full';
  #bad = 0;
  #good = 0;
  #waited = 0;
  #retry = RETRY;

  /**
   * @param {Conditions} now
   * @returns {Mode}
   */
  sample({ outgoing, loss, sending, failures, connected }) {
    if (!connected && failures >= HOPELESS) {
      this.mode = 'text';
      return this.mode;
    }
    if (this.mode === 'text') {
      if (connected) this.#become('full');
      return this.mode;
    }
    const narrow = outgoing !== null && outgoing < NARROW;
    const lossy = loss !== null && loss > LOSSY;
    if (this.mode === 'full') {
      this.#bad = sending && (narrow || lossy) ? this.#bad + 1 : 0;
      this.#good = this.#bad ? 0 : this.#good + 1;
      // A minute without trouble, and the next trouble is a new one.
      if (this.#good >= 30) this.#retry = RETRY;
      if (this.#bad >= BAD) this.#become('audio');
      return this.mode;
    }
    this.#waited += 1;
    this.#good = !lossy && (outgoing === null || outgoing > WIDE) ? this.#good + 1 : 0;
    // Without video nothing probes for a wider way, so in the end it is tried.
    if ((this.#good >= GOOD && this.#waited >= RETRY / 2) || this.#waited >= this.#retry) {
      this.#retry = Math.min(this.#retry * 2, RETRY_MOST);
      this.#become('full');
    }
    return this.mode;
  }

  #become(mode) {
    this.mode = mode;
    this.#bad = this.#good = this.#waited = 0;
  }
}
