import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodable, differs, together } from '../../web/client/viewport.js';
import { arrange } from '../../web/room/stage.js';

test('videos follow the cores, within bounds', () => {
  assert.equal(decodable(undefined), 8);
  assert.equal(decodable(1), 4);
  assert.equal(decodable(4), 16);
  assert.equal(decodable(64), 25);
});

test('the largest visible place counts', () => {
  const view = (visible, width, height) => ({ visible, width, height });
  assert.deepEqual(together([view(true, 320, 180), view(true, 200, 400), view(false, 1920, 1080)]), view(true, 320, 400));
  assert.deepEqual(together([view(false, 320, 180)]), view(false, 0, 0));
  assert.deepEqual(together([view(true, 0, 0)]), view(false, 0, 0), 'not laid out yet');
  assert.deepEqual(together([]), view(false, 0, 0));
});

test('small changes are not told', () => {
  const view = { visible: true, width: 640, height: 360 };
  assert(differs(undefined, view));
  assert(!differs(view, { ...view, width: 650 }));
  assert(differs(view, { ...view, width: 800, height: 450 }));
  assert(differs(view, { ...view, visible: false }));
  assert(!differs({ ...view, visible: false }, { visible: false, width: 0, height: 0 }));
});

test('tiles fill the stage', () => {
  assert.equal(arrange(1, 1280, 720).columns, 1);
  assert.equal(arrange(4, 1280, 720).columns, 2);
  assert.equal(arrange(4, 390, 700).columns, 1, 'a phone held upright');
  assert.equal(arrange(9, 1280, 720).columns, 3);
  for (let count = 1; count < 60; count++) {
    const { columns, tile } = arrange(count, 1280, 600);
    assert(columns * tile <= 1280 && tile >= 100, `${count}: ${columns} of ${tile}`);
  }
});
