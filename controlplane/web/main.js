// Ties the check to the page.

import { Check } from './check.js';
import { View } from './view.js';

const STORED = 'forebay.key';

/** The link's key goes to this tab's storage and leaves the address bar. */
function takeKeyFromLink() {
  const key = new URLSearchParams(location.hash.slice(1)).get('key');
  if (key) {
    sessionStorage.setItem(STORED, key);
    history.replaceState(null, '', location.pathname + location.search);
  }
}

let check = null;

const view = new View({
  onToggle: () => (running() ? check.stop() : start()),
  onKey: (key) => {
    sessionStorage.setItem(STORED, key);
    start();
  },
  onCopy: async () => view.copied(await copy(JSON.stringify(check?.report() ?? {}, null, 2))),
});

function running() {
  return check !== null && !['idle', 'stopped', 'failed'].includes(check.state);
}

function start() {
  view.reset();
  const key = sessionStorage.getItem(STORED);
  if (!key) {
    view.needKey();
    return;
  }
  const current = check = new Check(key);
  const on = (type, handler) => current.addEventListener(type, (event) => {
    if (check === current) handler(event.detail);
  });
  let failedStep = null;
  on('state', ({ state }) => {
    view.state(state);
    if (state === 'candidates') view.credentials(current.credentials);
    if (state === 'failed') {
      if (current.failure.code === 'unauthorized') {
        sessionStorage.removeItem(STORED);
        view.needKey('This key is not known. Keys are in the file that api.keys_file names.');
        return;
      }
      view.failed(current.failure, failedStep);
      view.report(current.report());
    }
  });
  on('failed', ({ step }) => { failedStep = step; });
  on('waiting', ({ useTestPicture }) => view.waiting(useTestPicture));
  on('source', ({ source }) => view.source(source));
  on('received', ({ stream }) => view.received(stream));
  on('candidate', () => view.candidates(current.candidates));
  on('sample', () => view.sample(current));
  current.run();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https there is no clipboard interface; the old way still works.
    const area = document.createElement('textarea');
    area.value = text;
    area.setAttribute('aria-hidden', 'true');
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

// For programs that drive the page.
window.forebayCheck = {
  get state() { return document.documentElement.dataset.state; },
  get samples() { return check?.samples ?? []; },
  get latest() { return check?.samples.at(-1) ?? null; },
  get failure() { return check?.failure ?? null; },
  report: () => check?.report() ?? null,
};

takeKeyFromLink();
addEventListener('hashchange', () => {
  takeKeyFromLink();
  if (!running()) start();
});
start();
