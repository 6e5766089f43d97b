// Bitrate over the last minute on a canvas, in the page's own colours.

const SPAN = 60;
const BOTTOM = 18;

export class Chart {
  #canvas;
  #samples = [];

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  /** @param {{bitrateSent: number, bitrateReceived: number}[]} samples oldest first, one per second */
  show(samples) {
    this.#samples = samples.slice(-SPAN);
    this.#draw();
    const last = this.#samples.at(-1);
    if (last) {
      const peak = Math.max(...this.#samples.map((s) => s.bitrateReceived));
      this.#canvas.setAttribute('aria-label',
        `Bitrate over the last minute: now ${formatBitrate(last.bitrateReceived)}, at most ${formatBitrate(peak)}`);
    }
  }

  #draw() {
    const canvas = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const peak = Math.max(...this.#samples.flatMap((s) => [s.bitrateReceived, s.bitrateSent]), 200_000);
    const top = ceiling(peak);
    pen.font = `12px ${style.fontFamily}`;
    const ticks = [0, top / 2, top];
    const left = Math.ceil(Math.max(...ticks.map((rate) => pen.measureText(formatBitrate(rate)).width))) + 10;
    const x = (i) => left + (width - left - 4) * (SPAN - this.#samples.length + i) / (SPAN - 1);
    const y = (rate) => 6 + (height - BOTTOM - 6) * (1 - rate / top);

    pen.textBaseline = 'middle';
    pen.textAlign = 'right';
    pen.lineWidth = 1;
    for (const rate of ticks) {
      pen.strokeStyle = colour('--line');
      pen.beginPath();
      pen.moveTo(left, Math.round(y(rate)) + 0.5);
      pen.lineTo(width, Math.round(y(rate)) + 0.5);
      pen.stroke();
      pen.fillStyle = colour('--soft');
      pen.fillText(formatBitrate(rate), left - 6, y(rate));
    }
    pen.textBaseline = 'alphabetic';
    pen.textAlign = 'left';
    pen.fillText('1 min ago', left, height - 3);
    pen.textAlign = 'right';
    pen.fillText('now', width, height - 3);

    // The wide one below: without loss they are the same line.
    pen.globalAlpha = 0.45;
    this.#line(pen, 'bitrateSent', colour('--sent'), x, y, 6);
    pen.globalAlpha = 1;
    this.#line(pen, 'bitrateReceived', colour('--accent'), x, y, 2);
  }

  #line(pen, field, colour, x, y, lineWidth) {
    if (this.#samples.length < 2) return;
    pen.beginPath();
    this.#samples.forEach((s, i) => pen.lineTo(x(i), y(s[field])));
    pen.strokeStyle = colour;
    pen.lineWidth = lineWidth;
    pen.lineJoin = 'round';
    pen.stroke();
  }
}

function ceiling(rate) {
  const step = 10 ** Math.floor(Math.log10(rate));
  for (const factor of [1, 2, 4, 5, 10]) {
    if (rate <= factor * step) return factor * step;
  }
  return rate;
}

export function formatBitrate(rate) {
  if (rate >= 1_000_000) return `${(rate / 1_000_000).toFixed(rate >= 10_000_000 ? 0 : 1)} Mbit/s`;
  return `${Math.round(rate / 1000)} kbit/s`;
}
