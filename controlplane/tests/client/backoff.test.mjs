import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../web/client/backoff.js';

test('pauses double, stay within bounds and differ between clients', () => {
  const low = new Backoff({ first: 100, most: 1_000, random: () => 0 });
  const high = new Backoff({ first: 100, most: 1_000, random: () => 0.999999 });
  const lows = Array.from({ length: 6 }, () => low.next());
  const highs = Array.from({ length: 6 }, () => Math.round(high.next()));
  assert.deepEqual(lows, [50, 100, 200, 400, 500, 500]);
  assert.deepEqual(highs, [100, 200, 400, 800, 1_000, 1_000]);
  low.reset();
  assert.equal(low.next(), 50);
  for (let i = 0; i < 2_000; i++) assert(high.next() <= 1_000, 'no overflow after many attempts');
});
