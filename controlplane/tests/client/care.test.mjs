import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Care } from '../../web/client/care.js';

let did;
let now;
let timers;
let care;

/** Time passes, milliseconds. */
function pass(milliseconds) {
  const end = now + milliseconds;
  for (;;) {
    const due = [...timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
    if (!due) break;
    timers.delete(due[0]);
    now = due[1].at;
    due[1].run();
  }
  now = end;
}

beforeEach(() => {
  did = [];
  now = 0;
  timers = new Map();
  let next = 1;
  care = new Care({
    restart: () => did.push('restart'),
    renew: () => did.push('renew'),
    random: () => 1,
    timers: {
      set: (run, after) => {
        timers.set(next, { run, at: now + after });
        return next++;
      },
      clear: (timer) => timers.delete(timer),
    },
  });
});

test('a short disturbance is left alone', () => {
  care.state('connecting');
  care.state('connected');
  care.state('disconnected');
  pass(900);
  care.state('connected');
  pass(60_000);
  assert.deepEqual(did, []);
});

test('a lasting one is met with a restart, then with new connections and growing pauses', () => {
  care.state('connected');
  care.state('disconnected');
  pass(1_000);
  assert.deepEqual(did, ['restart']);
  care.state('failed');
  assert.deepEqual(did, ['restart', 'restart']);
  pass(4_000);
  assert.deepEqual(did.slice(2), ['renew']);
  pass(5_900);
  assert.equal(did.length, 3);
  pass(200);
  assert.equal(did.length, 4);
  pass(11_800);
  assert.equal(did.length, 4);
  pass(300);
  assert.equal(did.length, 5);
  assert.equal(care.failures, 3);
  care.state('connected');
  assert.equal(care.failures, 0);
  pass(120_000);
  assert.equal(did.length, 5);
});

test('a connection that never stands is made anew', () => {
  care.state('connecting');
  pass(6_100);
  assert.deepEqual(did, ['renew']);
  care.renewed();
  care.state('connecting');
  care.state('connected');
  pass(60_000);
  assert.deepEqual(did, ['renew']);
});

test('another network is met at once', () => {
  care.state('connected');
  care.networkChanged();
  assert.deepEqual(did, ['restart']);
  pass(60_000);
  assert.deepEqual(did, ['restart'], 'the connection stood');
});

test('nothing happens after the end', () => {
  care.state('disconnected');
  care.stop();
  pass(60_000);
  assert.deepEqual(did, []);
});

test('ICE that gives up does not put off the next attempt', () => {
  care.state('connecting');
  pass(6_000);
  assert.equal(care.failures, 1);
  care.renewed();
  care.state('connecting');
  pass(15_000);
  care.state('failed');
  pass(9_000);
  assert.deepEqual([did.length, care.failures], [2, 2]);
});

test('a connection that fails with no attempt under way is made anew', () => {
  care.state('connected');
  care.state('connecting');
  care.state('failed');
  pass(0);
  assert.deepEqual(did, ['renew']);
});
