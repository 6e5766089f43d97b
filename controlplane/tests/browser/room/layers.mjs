// Simulcast on a narrow and on a lossy way.
//
//   node room/layers.mjs PAGE KEY MEDIA_PORT
//
// A subscriber's way is limited to 300 kbit/s and widened again; then 5 % of
// the datagrams are lost in both directions.

import assert from 'node:assert/strict';
import { Lossy } from './lossy.mjs';
import { Person, Server, chromium, main, pause, until } from './browsers.mjs';

const [page, key, port] = process.argv.slice(2);
assert(page && key && port, 'usage: node room/layers.mjs PAGE KEY MEDIA_PORT');
const SIZE = { width: 640, height: 360, rate: 15 };

await main(async () => {
  const server = new Server(page, key);
  const room = `layers-${Date.now()}`;
  const way = await new Lossy().open({ address: '127.0.0.1', port: +port });
  const publisher = await Person.enter(await chromium({ film: SIZE }), server, { room, name: 'publisher', more: '&video=640x360@15' });
  const subscriber = await Person.enter(await chromium(), server, {
    room, name: 'subscriber', more: '&video=off&audio=off', ports: { [port]: way.port }, viewport: { width: 1280, height: 800 },
  });
  await subscriber.decodesAll(1);
  const video = () => subscriber.tracks().then((tracks) => tracks.find((t) => t.kind === 'video'));
  const timeline = [];
  const note = async (what) => {
    const { layer, height, bytes, lost, nacks, plis, gap } = await video();
    timeline.push(`${what}: layer ${layer}, ${height} lines, ${bytes} bytes, ${lost} lost, ${nacks} NACK, ${plis} PLI, gap ${Math.round(gap)} ms`);
  };
  const timed = async (what, holds, patience) => {
    const began = Date.now();
    await until(what, holds, patience);
    return Date.now() - began;
  };
  const height = (wanted) => async () => {
    const { height: now, layer } = await video();
    return { done: now === wanted, now, layer };
  };

  // The publisher's top layer starts only when it is told of its bandwidth.
  const top = await timed('the best layer arrives', height(SIZE.height), 30_000);
  await pause(3_000);
  await subscriber.forgetGaps();
  await note('before');

  way.down.limit = 300_000;
  const fell = await timed('the low layer on a narrow way', height(SIZE.height / 2), 15_000);
  await pause(5_000);
  await note('narrow');
  const narrow = await video();
  await pause(3_000);
  await note('still narrow');
  const shown = (await video()).frames - narrow.frames;
  assert(shown >= 15, `pictures keep coming on the narrow way: ${shown} in 3 s, ${JSON.stringify(timeline)}`);
  assert((await video()).height === SIZE.height / 2, 'it stays low');

  way.down.limit = null;
  const rose = await timed('the best layer is back', height(SIZE.height), 10_000);
  await note('wide');

  await pause(2_000);
  await subscriber.forgetGaps();
  way.down.loss = way.up.loss = 0.05;
  const lossy = await video();
  await pause(15_000);
  const then = await video();
  await note('lossy');
  way.down.loss = way.up.loss = 0;
  const rate = (then.frames - lossy.frames) / 15;
  assert(rate > 8, `pictures keep coming through loss: ${rate}/s`);
  assert(then.gap < 1_500, `no picture stands still through loss: ${then.gap} ms`);
  assert(way.down.dropped > 20, `${way.down.dropped} were lost`);
  assert(then.nacks > lossy.nacks, 'what is lost is asked for');
  for (const person of [publisher, subscriber]) assert.deepEqual(person.complaints, []);
  way.close();
  return { top, fell, rose, rate, gap: Math.round(then.gap), timeline };
});
