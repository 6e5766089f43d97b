// Pauses between attempts.

/**
 * Pauses that double up to a bound, each drawn from its upper half, so that
 * clients that lost one server together do not come back together.
 */
export class Backoff {
  #first;
  #most;
  #random;
  #attempts = 0;

  /** @param {{first?: number, most?: number, random?: () => number}} [options] milliseconds */
  constructor({ first = 250, most = 10_000, random = Math.random } = {}) {
    this.#first = first;
    this.#most = most;
    this.#random = random;
  }

  /** Attempts since the last reset. */
  get attempts() {
    return this.#attempts;
  }

  /** The next pause, milliseconds. */
  next() {
    const whole = Math.min(this.#first * 2 ** Math.min(this.#attempts, 30), this.#most);
    this.#attempts += 1;
    return whole / 2 + this.#random() * (whole / 2);
  }

  reset() {
    this.#attempts = 0;
  }
}
