// One participant, or one shared screen, on the stage.

import { formatBitrate } from './format.js';

/** Nothing is left out in time. */
const ALL_TEMPORAL = 3;
const SVG = 'http://www.w3.org/2000/svg';

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

function part(tag, className) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}

export class Tile {
  element = part('figure', 'tile');
  video = part('video');
  #name = part('span', 'who');
  #muted = icon('mic-off');
  #bars = part('span', 'bars');
  #details = part('p', 'details');
  #trouble = part('p', 'trouble');
  #initials = part('span');
  #pin = part('button', 'pin');
  #wanted = false;

  /** @param {{id: string, name: string, own?: boolean, screen?: boolean, onPin?: () => void}} options */
  constructor({ id, name, own = false, screen = false, onPin }) {
    this.own = own;
    this.screen = screen;
    this.element.dataset.tile = id;
    this.element.classList.toggle('mirrored', own && !screen);
    this.element.classList.toggle('contain', screen);
    this.element.style.setProperty('--hue', String(hue(id)));
    Object.assign(this.video, { muted: true, playsInline: true, autoplay: true });
    this.video.setAttribute('aria-hidden', 'true');
    // The initials stay until there is a first picture.
    for (const type of ['loadeddata', 'playing', 'emptied']) this.video.addEventListener(type, () => this.#show());
    const avatar = part('div', 'avatar');
    avatar.setAttribute('aria-hidden', 'true');
    avatar.append(this.#initials);
    for (let i = 0; i < 3; i++) this.#bars.append(part('i'));
    this.#bars.setAttribute('role', 'img');
    this.#bars.hidden = true;
    const plate = part('figcaption', 'plate');
    plate.append(this.#muted, this.#name, this.#bars);
    this.#muted.toggleAttribute('hidden', true);
    this.#pin.type = 'button';
    this.#pin.append(icon('pin'));
    this.#pin.addEventListener('click', () => onPin?.());
    this.element.append(this.video, avatar, this.#trouble, this.#details, plate, this.#pin);
    this.rename(name);
    this.pinned(false);
  }

  rename(name) {
    const shown = this.screen ? `${name}: screen` : this.own ? `${name} (you)` : name;
    this.#name.textContent = shown;
    this.#initials.textContent = initials(name);
    this.element.setAttribute('aria-label', shown);
    this.#pin.setAttribute('aria-label', `Enlarge ${shown}`);
  }

  /** Whether the picture is to be seen. */
  seen(is) {
    this.#wanted = is;
    this.#show();
  }

  /** The last picture stays, dark, while no other comes. */
  held(is) {
    this.element.classList.toggle('held', is);
  }

  /** @param {boolean} is the microphone */
  muted(is) {
    this.#muted.toggleAttribute('hidden', !is);
  }

  speaking(is) {
    this.element.classList.toggle('speaking', is);
  }

  pinned(is) {
    this.element.classList.toggle('pinned', is);
    this.#pin.setAttribute('aria-pressed', String(is));
  }

  quality(quality, mos) {
    this.#bars.hidden = !quality;
    if (!quality) return;
    this.#bars.dataset.quality = quality;
    this.#bars.setAttribute('aria-label', `Quality: ${quality}`);
    this.#bars.title = `${quality}${mos ? `, MOS ${mos.toFixed(1)}` : ''}`;
  }

  /** A line in place of the picture, when there is a reason for none. */
  trouble(text) {
    this.#trouble.textContent = text;
  }

  /**
   * @param {import('../client/stats.js').TrackSample | null} sample
   * @param {{spatial: number | null, temporal: number, why?: string} | null} layer
   * @param {number} encodings
   */
  details(sample, layer, encodings) {
    if (!sample) {
      this.#details.textContent = '';
      return;
    }
    const lines = [];
    if (sample.width) lines.push(`${sample.width}×${sample.height} · ${Math.round(sample.framesPerSecond ?? 0)}/s${sample.codec ? ` · ${sample.codec}` : ''}`);
    const words = [formatBitrate(sample.bitrate)];
    if (layer) words.push(layer.spatial === null ? layer.why ?? 'off' : `layer ${layer.spatial + 1}${encodings > 1 ? `/${encodings}` : ''}${layer.temporal < ALL_TEMPORAL ? ` T${layer.temporal}` : ''}`);
    else if (sample.encodings > 1) words.push(`${sample.encodings} layers`);
    lines.push(words.join(' · '));
    const extra = [];
    if (sample.loss > 0.001) extra.push(`loss ${(sample.loss * 100).toFixed(1)} %`);
    if (sample.limited) extra.push(`limited by ${sample.limited}`);
    if (extra.length) lines.push(extra.join(' · '));
    this.#details.textContent = lines.join('\n');
  }

  #show() {
    this.element.classList.toggle('seen', this.#wanted && this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA);
  }

  remove() {
    this.video.srcObject = null;
    this.element.remove();
  }
}

function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0]).join('').toUpperCase() || '?';
}

/** The same colour for the same person on every screen. */
function hue(id) {
  let sum = 7;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 360;
  return sum;
}
