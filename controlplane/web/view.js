// The page's elements and what they show.

import { Chart, formatBitrate } from './chart.js';

const element = (id) => document.getElementById(id);
const STEPS = ['credentials', 'candidates', 'connected', 'relayed'];

const STATUS = {
  idle: 'Ready to start.',
  'needs-key': 'Enter an API key to start.',
  credentials: 'Fetching credentials …',
  candidates: 'Asking the TURN server for relayed addresses …',
  connected: 'Connected through the relay; waiting for the first picture …',
  relayed: 'Relayed: media flows from one end to the other through the relay.',
  stopped: 'Stopped.',
  failed: 'The check failed.',
};

export class View {
  #chart = new Chart(element('chart'));

  constructor({ onToggle, onKey, onCopy }) {
    element('toggle').addEventListener('click', onToggle);
    element('copy').addEventListener('click', onCopy);
    element('key-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const key = element('key').value.trim();
      element('key').value = '';
      if (key) onKey(key);
    });
  }

  /** Back to nothing measured. */
  reset() {
    element('failure').hidden = true;
    element('candidates').replaceChildren(row('none', ['None yet.'], 4));
    for (const id of ['bitrate', 'rtt', 'loss', 'jitter', 'fps', 'received-total', 'lost-total', 'source', 'picture', 'relay-a', 'relay-b', 'leg-a', 'leg-b']) {
      element(id).textContent = '–';
    }
    this.#clearPictures();
    for (const step of STEPS) this.#mark(step, null, '');
    element('report').textContent = 'Nothing measured yet.';
    element('copy').disabled = true;
    this.#chart.show([]);
  }

  state(state) {
    document.documentElement.dataset.state = state;
    element('status').textContent = STATUS[state] ?? state;
    const running = STEPS.includes(state);
    element('toggle').textContent = running ? 'Stop' : state === 'idle' || state === 'needs-key' ? 'Start' : 'Start again';
    element('toggle').disabled = state === 'needs-key';
    element('key-form').hidden = state !== 'needs-key';
    if (!running) {
      element('synthetic').hidden = true;
      this.#clearPictures();
    }
    if (running) {
      const at = STEPS.indexOf(state);
      STEPS.forEach((step, i) => {
        // A step named after its result is done when it is entered.
        const reached = i < at || (i === at && i >= 2);
        const next = (at < 2 && i === at) || (at >= 2 && i === at + 1);
        this.#mark(step, reached ? 'done' : next ? 'now' : null);
      });
    } else {
      for (const li of document.querySelectorAll('.steps li[data-mark="now"]')) this.#mark(li.dataset.step, null);
    }
  }

  needKey(complaint) {
    this.state('needs-key');
    if (complaint) this.#mark('credentials', 'failed');
    element('key-error').hidden = !complaint;
    element('key-error').textContent = complaint ?? '';
    element('key').setAttribute('aria-invalid', complaint ? 'true' : 'false');
    element('key').focus();
  }

  credentials({ expires_at: expiresAt, uris }) {
    const minutes = Math.round((expiresAt * 1000 - Date.now()) / 60_000);
    const life = minutes >= 120 ? `${Math.round(minutes / 60)} h` : `${minutes} min`;
    this.#mark('credentials', undefined, `${uris.length} ${uris.length === 1 ? 'URL' : 'URLs'}, for ${life}`);
  }

  waiting(useTestPicture) {
    element('source').textContent = 'waiting for the camera: the browser asks';
    const button = element('synthetic');
    button.hidden = false;
    button.onclick = () => {
      button.hidden = true;
      useTestPicture();
    };
  }

  source({ stream, label }) {
    element('synthetic').hidden = true;
    element('source').textContent = label;
    element('sent').srcObject = stream;
  }

  received(stream) {
    const video = element('received');
    if (video.srcObject !== stream) video.srcObject = stream;
  }

  candidates(candidates, pair) {
    const used = (c) => [pair?.local, pair?.remote].some((p) => p && p.address === c.address && p.port === c.port);
    const sorted = [...candidates].sort((a, b) => b.side.localeCompare(a.side));
    element('candidates').replaceChildren(...sorted.map((c) => row(used(c) ? 'used' : '', [
      c.side,
      endpoint(c),
      (c.relayProtocol ?? 'unknown').toUpperCase(),
      c.url ?? '–',
    ])));
    this.#mark('candidates', undefined, `${candidates.length} ${candidates.length === 1 ? 'address' : 'addresses'}`);
  }

  sample(check) {
    const now = check.samples.at(-1);
    const { pair, width, height, codec, bytesReceived, packetsReceived, packetsLost } = check.reading;
    element('bitrate').textContent = formatBitrate(now.bitrateReceived);
    element('rtt').textContent = milliseconds(now.roundTripMs);
    element('jitter').textContent = milliseconds(now.jitterMs);
    element('loss').textContent = `${(now.loss * 100).toFixed(now.loss > 0 && now.loss < 0.1 ? 2 : 0)} %`;
    element('received-total').textContent = `${(bytesReceived / 1e6).toFixed(1)} MB`;
    element('lost-total').textContent = `${packetsLost} of ${packetsReceived + packetsLost}`;
    element('fps').textContent = `${Math.round(now.framesPerSecond)} /s`;
    element('picture').textContent = width ? `${width} × ${height}${codec ? `, ${codec}` : ''}` : '–';
    if (pair?.local && pair?.remote) {
      element('relay-a').textContent = endpoint(pair.local);
      element('relay-b').textContent = endpoint(pair.remote);
      const leg = (side, fallback) => {
        const found = check.candidates.find((c) => c.side === side && (side !== 'receiver' || c.port === pair.remote.port));
        return `TURN/${(found?.relayProtocol ?? fallback ?? 'udp').toUpperCase()}`;
      };
      element('leg-a').textContent = `TURN/${(pair.local.relayProtocol ?? 'udp').toUpperCase()}`;
      element('leg-b').textContent = leg('receiver', pair.local.relayProtocol);
      this.#mark('connected', undefined, milliseconds(now.roundTripMs));
    }
    if (check.state === 'relayed') this.#mark('relayed', undefined, formatBitrate(now.bitrateReceived));
    this.#chart.show(check.samples);
    this.candidates(check.candidates, pair);
    this.report(check.report());
  }

  report(report) {
    element('copy').disabled = false;
    element('report').textContent = JSON.stringify(report, null, 2);
  }

  failed({ title, text, fixes, detail }, step) {
    element('failure').hidden = false;
    element('failure-title').textContent = title;
    element('failure-text').textContent = text;
    element('failure-fixes').replaceChildren(...fixes.map((fix) => {
      const li = document.createElement('li');
      li.textContent = fix;
      return li;
    }));
    element('failure-detail').textContent = detail ?? '';
    const at = STEPS.indexOf(step);
    // "connected" is where a failure to get media shows as the next step.
    this.#mark(STEPS[Math.min(at >= 2 ? at + 1 : at, STEPS.length - 1)] ?? 'credentials', 'failed');
  }

  copied(done) {
    const button = element('copy');
    button.textContent = done ? 'Copied' : 'Copy failed';
    setTimeout(() => { button.textContent = 'Copy report'; }, 1500);
  }

  #clearPictures() {
    for (const id of ['sent', 'received']) {
      element(id).srcObject = null;
      // Without it the last frame stays over the placeholder.
      element(id).load();
    }
  }

  #mark(step, mark, note) {
    const li = document.querySelector(`.steps li[data-step="${step}"]`);
    if (mark === null) delete li.dataset.mark;
    else if (mark) li.dataset.mark = mark;
    if (li.dataset.mark === 'now') li.setAttribute('aria-current', 'step');
    else li.removeAttribute('aria-current');
    if (note !== undefined) li.querySelector('small').textContent = note;
  }
}

function endpoint({ address, port }) {
  const host = address?.includes(':') ? `[${address}]` : address ?? 'hidden';
  return `${host}:${port}`;
}

function milliseconds(value) {
  if (value === null || value === undefined) return '–';
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function row(kind, cells, span) {
  const tr = document.createElement('tr');
  if (kind) tr.className = kind;
  cells.forEach((text, i) => {
    const td = document.createElement('td');
    td.textContent = text;
    if (span) td.colSpan = span;
    if (i === 1 || i === 3) td.className = 'mono';
    tr.append(td);
  });
  return tr;
}
