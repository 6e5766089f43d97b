// A call of several browsers: everybody decodes everybody.
//
//   node room/call.mjs PAGE KEY [--chromium N] [--firefox N] [--relay N] [--seconds N] [--shots FOLDER]
//
// `--relay` of the Chromium reach the room through the TURN relay only.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Person, Server, chromium, firefox, main, pause, until } from './browsers.mjs';

const { positionals: [page, key], values } = parseArgs({
  allowPositionals: true,
  options: {
    chromium: { type: 'string', default: '2' }, firefox: { type: 'string', default: '1' }, relay: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' }, shots: { type: 'string' },
  },
});
assert(page && key, 'usage: node room/call.mjs PAGE KEY');
/** The longest time one picture may stand, milliseconds. */
const FREEZE = 1_000;

await main(async () => {
  const server = new Server(page, key);
  const room = `call-${Date.now()}`;
  const people = [];
  const began = Date.now();
  for (let i = 0; i < +values.chromium; i++) {
    const relayed = i < +values.relay;
    people.push(await Person.enter(await chromium(), server, {
      room, name: relayed ? `relayed-${i}` : `chromium-${i}`, more: `&video=320x180@15${relayed ? '&relay' : ''}`,
    }));
  }
  for (let i = 0; i < +values.firefox; i++) people.push(await Person.enter(await firefox(), server, { room, name: `firefox-${i}` }));
  for (const person of people) await person.decodesAll(people.length - 1);
  const met = Date.now() - began;

  // Everybody has met now; what froze before was the beginning.
  await pause(1_000);
  for (const person of people) await person.forgetGaps();
  const before = await Promise.all(people.map((person) => person.tracks()));
  await pause(+values.seconds * 1000);
  const after = await Promise.all(people.map((person) => person.tracks()));
  const lines = people.map((person, i) => after[i].map((track) => {
    const from = before[i].find((one) => one.id === track.id);
    return { at: person.name, ...track, frames: track.frames - from.frames, packets: track.packets - from.packets };
  })).flat();
  if (values.shots) {
    await people[0].tab.screenshot({ path: join(values.shots, 'light.png') });
    if (people.length > 1) {
      const { tab } = people.find((person) => person.name.startsWith('chromium')) ?? people[0];
      await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
      await tab.screenshot({ path: join(values.shots, 'dark.png') });
      await tab.setViewport({ width: 390, height: 844 });
      await pause(500);
      assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, 'no sideways scrolling on a phone');
      await tab.screenshot({ path: join(values.shots, 'phone.png') });
    }
  }
  for (const line of lines) {
    const text = `${JSON.stringify(line)} ${JSON.stringify(await people.find((person) => person.name === line.at).layers())}`;
    if (line.kind === 'video') {
      assert(line.frames > +values.seconds * 5, `pictures come: ${text}`);
      assert(line.gap !== null && line.gap < FREEZE, `no picture stands still: ${text}`);
    } else {
      assert(line.packets > +values.seconds * 2, `sound comes: ${text}`);
    }
  }
  const paths = Object.fromEntries(await Promise.all(people.map(async (person) => [person.name, await person.paths()])));
  for (const person of people) {
    if (person.name.startsWith('relayed')) {
      assert.equal(paths[person.name].publisher.local, 'relay');
      assert.equal(paths[person.name].subscriber.local, 'relay');
    }
  }

  // Mute: the others see it, and no more pictures come.
  const [muter, witness] = people;
  const own = () => witness.tracks().then((tracks) => tracks.find((t) => t.from === muter.name && t.kind === 'video'));
  await muter.tab.click('#camera');
  await muter.tab.click('#mic');
  await until('the others see who is muted', async () => (await witness.tracks()).filter((t) => t.from === muter.name && t.muted).length === 2);
  await pause(500);
  const still = (await own()).frames;
  await pause(1_500);
  assert((await own()).frames - still <= 1, 'a muted camera sends nothing');
  await muter.tab.click('#camera');
  await muter.tab.click('#mic');
  await until('the picture comes back', async () => (await own()).frames > still + 5);

  // A text reaches everybody.
  await muter.tab.evaluate(() => window.forebayRoom.room.send('good morning'));
  await until('the message arrives', () => witness.tab.evaluate(() => document.getElementById('messages').textContent.includes('good morning')));

  // Who leaves is gone at once.
  const last = people.pop();
  await last.tab.click('#leave');
  await until('the leaver is gone', async () => !(await witness.tracks()).some((t) => t.from === last.name), 5_000);
  for (const person of people) assert.deepEqual(person.complaints, [], `${person.name}'s console is clean`);
  return {
    met, longestGap: Math.round(Math.max(...lines.filter((l) => l.kind === 'video').map((l) => l.gap))),
    longestStall: Math.max(...lines.map((l) => l.stall)),
    freezes: lines.reduce((sum, l) => sum + (l.freezes ?? 0), 0), lost: lines.reduce((sum, l) => sum + l.lost, 0),
    paths, tracks: lines.map((l) => `${l.at} ← ${l.from} ${l.kind}: ${l.kind === 'video' ? `${l.frames} frames, gap ${Math.round(l.gap)} ms` : `${l.packets} packets`}`),
  };
});
