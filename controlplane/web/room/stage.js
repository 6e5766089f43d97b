// Where the tiles go.

const GAP = 10;
const RATIO = 16 / 9;
/** Smaller ones are scrolled instead; pixels. */
const SMALLEST = 150;

/**
 * The number of columns that makes tiles largest.
 * @param {number} count
 * @param {number} width of the stage, pixels
 * @param {number} height
 * @returns {{columns: number, tile: number}} `tile` is the width of one
 */
export function arrange(count, width, height) {
  let best = { columns: 1, tile: 0 };
  for (let columns = 1; columns <= Math.max(count, 1); columns++) {
    const rows = Math.ceil(count / columns);
    const tile = Math.min((width - GAP * (columns - 1)) / columns, ((height - GAP * (rows - 1)) / rows) * RATIO);
    if (tile > best.tile) best = { columns, tile };
  }
  if (best.tile < SMALLEST) {
    const columns = Math.max(1, Math.floor((width + GAP) / (SMALLEST + GAP)));
    best = { columns, tile: (width - GAP * (columns - 1)) / columns };
  }
  return { columns: best.columns, tile: Math.floor(best.tile) };
}

export class Stage {
  #element;
  #tiles = new Map();
  #pinned = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    new ResizeObserver(() => this.#layout()).observe(element);
  }

  /** @param {string} id @param {import('./tile.js').Tile} tile */
  add(id, tile) {
    this.#tiles.set(id, tile);
    this.#element.append(tile.element);
    // Everybody wants to see what is being shown.
    if (tile.screen && !tile.own) this.pin(id, true);
    this.#layout();
  }

  remove(id) {
    const tile = this.#tiles.get(id);
    if (!tile) return;
    if (this.#pinned === id) this.pin(id, false);
    this.#tiles.delete(id);
    tile.remove();
    this.#layout();
  }

  get(id) {
    return this.#tiles.get(id);
  }

  get all() {
    return this.#tiles;
  }

  /** Enlarges one, or with `is` false none. */
  pin(id, is = this.#pinned !== id) {
    this.#tiles.get(this.#pinned)?.pinned(false);
    this.#pinned = is ? id : null;
    this.#tiles.get(this.#pinned)?.pinned(true);
    this.#layout();
    return this.#pinned;
  }

  clear() {
    for (const id of [...this.#tiles.keys()]) this.remove(id);
  }

  #layout() {
    const style = getComputedStyle(this.#element);
    const width = this.#element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = this.#element.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    if (width <= 0 || height <= 0) return;
    const focused = this.#pinned !== null && this.#tiles.size > 1;
    this.#element.classList.toggle('focused', focused);
    const { tile } = arrange(this.#tiles.size, width, height);
    this.#element.style.setProperty('--tile', `${tile}px`);
    this.#element.style.setProperty('--focus', `${Math.max(160, Math.min(height - 110, (width / 16) * 9))}px`);
  }
}
