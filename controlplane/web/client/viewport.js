// What of the remote videos can be seen, and how large.

/** @typedef {{visible: boolean, width: number, height: number}} View device pixels */

/** Changes are told at once when a picture appears, else after this pause; milliseconds. */
const PAUSE = 250;

/**
 * Videos that can be decoded at a time without a picture standing still; about four
 * small ones per core.
 * @param {number | undefined} cores `navigator.hardwareConcurrency`
 */
export function decodable(cores) {
  return Math.min(Math.max((cores ?? 2) * 4, 4), 25);
}

/**
 * The largest view of one track that is shown in several places.
 * @param {View[]} views
 * @returns {View}
 */
export function together(views) {
  const shown = views.filter((view) => view.visible && view.width > 0 && view.height > 0);
  return {
    visible: shown.length > 0,
    width: Math.max(0, ...shown.map((view) => view.width)),
    height: Math.max(0, ...shown.map((view) => view.height)),
  };
}

/**
 * Whether the server should hear of it: a window that is being dragged larger
 * would otherwise change layers with every pixel.
 * @param {View | undefined} told
 * @param {View} now
 */
export function differs(told, now) {
  if (!told || told.visible !== now.visible) return true;
  if (!now.visible) return false;
  const far = (a, b) => Math.abs(a - b) > 0.1 * Math.max(a, b);
  return far(told.width, now.width) || far(told.height, now.height);
}

/**
 * Observes elements; `tell` gets the changes as { track, visible, width, height }.
 */
export class Viewport {
  #tell;
  /** @type {Map<Element, {track: string, view: View}>} */
  #elements = new Map();
  /** @type {Map<string, View>} */
  #told = new Map();
  #sizes;
  #crossings;
  #timer = 0;
  #onVisibility = () => this.#changed(!document.hidden);

  /** @param {(changes: ({track: string} & View)[]) => void} tell */
  constructor(tell) {
    this.#tell = tell;
    this.#sizes = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) this.#measured(target, contentRect);
      this.#changed();
    });
    this.#crossings = new IntersectionObserver((entries) => {
      let appeared = false;
      for (const { target, isIntersecting } of entries) {
        const seen = this.#elements.get(target);
        if (!seen) continue;
        appeared ||= isIntersecting && !seen.view.visible;
        seen.view.visible = isIntersecting;
      }
      this.#changed(appeared);
    });
    document.addEventListener('visibilitychange', this.#onVisibility);
  }

  /**
   * @param {string} track
   * @param {Element} element
   */
  watch(track, element) {
    this.#elements.set(element, { track, view: { visible: false, width: 0, height: 0 } });
    this.#sizes.observe(element);
    this.#crossings.observe(element);
  }

  /** @param {Element} element */
  unwatch(element) {
    if (!this.#elements.delete(element)) return;
    this.#sizes.unobserve(element);
    this.#crossings.unobserve(element);
    this.#changed();
  }

  /** @param {string} track it is gone */
  forget(track) {
    this.#told.delete(track);
  }

  /** Tells everything anew: the server may know nothing of it. */
  repeat() {
    this.#told.clear();
    this.#changed(true);
  }

  close() {
    clearTimeout(this.#timer);
    this.#sizes.disconnect();
    this.#crossings.disconnect();
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#elements.clear();
  }

  #measured(target, { width, height }) {
    const seen = this.#elements.get(target);
    if (!seen) return;
    const ratio = globalThis.devicePixelRatio || 1;
    seen.view.width = Math.min(Math.round(width * ratio), 16_383);
    seen.view.height = Math.min(Math.round(height * ratio), 16_383);
  }

  #changed(urgent = false) {
    if (urgent) clearTimeout(this.#timer);
    else if (this.#timer) return;
    this.#timer = setTimeout(() => this.#flush(), urgent ? 0 : PAUSE);
  }

  #flush() {
    this.#timer = 0;
    const views = new Map();
    for (const { track, view } of this.#elements.values()) {
      views.set(track, [...(views.get(track) ?? []), { ...view, visible: view.visible && !document.hidden }]);
    }
    // A track whose last element is gone is not shown any more.
    for (const track of this.#told.keys()) if (!views.has(track)) views.set(track, []);
    const changes = [];
    for (const [track, all] of views) {
      const now = together(all);
      if (!differs(this.#told.get(track), now)) continue;
      this.#told.set(track, now);
      changes.push({ track, ...now });
    }
    if (changes.length) this.#tell(changes);
  }
}
