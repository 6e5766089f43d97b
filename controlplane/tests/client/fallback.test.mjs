import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fallback } from '../../web/client/fallback.js';

const fine = { outgoing: 2_000_000, loss: 0, sending: true, failures: 0, connected: true };
const narrow = { ...fine, outgoing: 50_000 };

function run(fallback, conditions, samples) {
  return Array.from({ length: samples }, () => fallback.sample(conditions));
}

test('one bad sample is no reason', () => {
  const fallback = new Fallback();
  run(fallback, fine, 5);
  run(fallback, narrow, 2);
  assert.deepEqual(run(fallback, fine, 3), ['full', 'full', 'full']);
});

test('a narrow way out leaves sound only, and pictures come back when it widens', () => {
  const fallback = new Fallback();
  assert.equal(run(fallback, narrow, 3).at(-1), 'audio');
  assert.equal(run(fallback, { ...narrow, sending: false }, 3).at(-1), 'audio');
  assert.equal(run(fallback, { ...fine, sending: false }, 6).at(-1), 'full');
});

test('without an estimate loss decides', () => {
  const fallback = new Fallback();
  const lossy = { ...fine, outgoing: null, loss: 0.5 };
  assert.equal(run(fallback, lossy, 3).at(-1), 'audio');
});

test('pictures are tried again more and more rarely', () => {
  const fallback = new Fallback();
  const pauses = [];
  for (let pause = 0, samples = 0; pauses.length < 4 && samples < 1_000; samples++) {
    const mode = fallback.sample({ ...narrow, sending: fallback.mode === 'full' });
    if (mode === 'audio') pause += 1;
    else if (pause) {
      pauses.push(pause);
      pause = 0;
    }
  }
  assert.deepEqual(pauses.map((p, i) => i === 0 || p > pauses[i - 1]), [true, true, true, true]);
});

test('text is what is left without any way for media', () => {
  const fallback = new Fallback();
  const none = { ...fine, outgoing: null, loss: null, sending: false, connected: false };
  assert.equal(fallback.sample({ ...none, failures: 1 }), 'full');
  assert.equal(fallback.sample({ ...none, failures: 2 }), 'text');
  assert.equal(fallback.sample({ ...none, failures: 5 }), 'text');
  assert.equal(fallback.sample(fine), 'full');
});
