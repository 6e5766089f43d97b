// A call during which the test that started this stops and restarts servers.
//
//   node room/survive.mjs PAGE KEY
//
// It writes `do WHAT` and reads a line when that is done.

import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { Person, Server, chromium, main, pause, until } from './browsers.mjs';

const [page, key] = process.argv.slice(2);
assert(page && key, 'usage: node room/survive.mjs PAGE KEY');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
  console.log(`do ${what}`);
  const { value, done } = await lines.next();
  assert(!done, `no answer to ${what}`);
  return value;
}

await main(async () => {
  const server = new Server(page, key);
  const room = `survive-${Date.now()}`;
  const browser = await chromium();
  const [ada, bob] = [
    await Person.enter(browser, server, { room, name: 'ada' }),
    await Person.enter(await chromium(), server, { room, name: 'bob' }),
  ];
  for (const person of [ada, bob]) await person.decodesAll(1);
  await pause(1_500);

  // Without the control plane the call goes on, and nothing is lost.
  for (const person of [ada, bob]) await person.forgetGaps();
  const before = await Promise.all([ada.tracks(), bob.tracks()]);
  await ask('kill control');
  await until('the loss is noticed', () => ada.tab.evaluate(() => window.forebayRoom.state === 'reconnecting'));
  await pause(2_000);
  await ask('start control');
  for (const person of [ada, bob]) {
    await until(`${person.name} is back`, () => person.tab.evaluate(() => window.forebayRoom.state === 'connected'), 20_000);
  }
  const after = await Promise.all([ada.tracks(), bob.tracks()]);
  const lost = after.flat().reduce((sum, t, i) => sum + t.lost - before.flat()[i].lost, 0);
  assert.deepEqual(after.flat().map((t) => t.id), before.flat().map((t) => t.id), 'the same tracks');
  assert.equal(lost, 0, `not a packet is lost: ${JSON.stringify(after)}`);
  const videos = after.flat().filter((t) => t.kind === 'video');
  for (const track of videos) assert(track.gap < 1_000, `no picture stands still: ${JSON.stringify(track)}`);

  // Who comes late is let in and sees everybody.
  const eve = await Person.enter(await chromium(), server, { room, name: 'eve' });
  await eve.decodesAll(2);
  for (const person of [ada, bob]) await person.decodesAll(2);
  await eve.tab.click('#leave');
  await until('eve is gone', async () => (await ada.tracks()).every((t) => t.from !== 'eve'));
  await eve.tab.browser().close();

  // The data plane restarts: everybody makes new connections by itself.
  const marks = await Promise.all([ada, bob].map((person) => person.tab.evaluate(() => { window.same = true; return performance.timeOrigin; })));
  await ask('restart data');
  const restarted = Date.now();
  const frames = async (person) => Math.max(0, ...(await person.tracks()).filter((t) => t.kind === 'video' && t.media).map((t) => t.frames));
  for (const person of [ada, bob]) {
    // A new connection counts its frames anew.
    const old = await frames(person);
    await until(`${person.name} sees pictures again`, async () => {
      const now = await frames(person);
      return now > 3 && (now < old || now > old + 3);
    }, 15_000);
  }
  const back = Date.now() - restarted;
  assert(back < 5_000, `back within 5 s: ${back} ms`);
  for (const [i, person] of [ada, bob].entries()) {
    assert.equal(await person.tab.evaluate(() => window.same && performance.timeOrigin), marks[i], 'without a reload');
    await person.decodesAll(1);
  }
  return { lost, gap: Math.round(Math.max(...videos.map((t) => t.gap))), back };
});
