// Ways too narrow for pictures, and no way at all: sound, then messages only,
// and everything again when there is a way.
//
//   node room/fallback.mjs PAGE KEY MEDIA_PORT [--shots FOLDER]

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Lossy } from './lossy.mjs';
import { Person, Server, chromium, main, until } from './browsers.mjs';

const { positionals: [page, key, port], values } = parseArgs({ allowPositionals: true, options: { shots: { type: 'string' } } });
assert(page && key && port, 'usage: node room/fallback.mjs PAGE KEY MEDIA_PORT');

await main(async () => {
  const server = new Server(page, key);
  const room = `fallback-${Date.now()}`;
  const [narrow, none] = [await new Lossy().open({ address: '127.0.0.1', port: +port }), await new Lossy().open({ address: '127.0.0.1', port: +port })];
  const enter = async (name, way) => Person.enter(await chromium(), server, {
    room, name, more: '&video=320x180@15', ...(way ? { ports: { [port]: way.port } } : {}),
  });
  // Nothing of media gets through to the one, hardly anything from the other.
  none.up.loss = none.down.loss = 1;
  const witness = await enter('witness');
  const cutOff = await enter('cut-off', none);
  const began = Date.now();
  const slow = await enter('slow', narrow);
  const { id } = await until('the slow one is seen', async () => (await witness.tracks()).find((track) => track.from === 'slow' && track.kind === 'video' && track.frames > 5));
  narrow.up.limit = 60_000;
  const narrowed = Date.now();
  const mode = (person) => person.tab.evaluate(() => window.forebayRoom.room.mode);
  const banner = (person) => person.tab.$eval('#banner', (element) => (element.hidden ? '' : element.textContent));
  const becomes = async (person, wanted) => {
    await until(`${person.name}: ${wanted}`, async () => {
      const now = await mode(person);
      return { done: now === wanted, now, sample: await person.tab.evaluate(() => window.forebayRoom.room.sample?.publisher.path) };
    }, 60_000);
    return Date.now();
  };
  const seen = () => witness.tracks().then((tracks) => tracks.find((track) => track.id === id));
  const heard = () => witness.tracks().then((tracks) => tracks.find((track) => track.from === 'slow' && track.kind === 'audio'));

  const audio = (await becomes(slow, 'audio')) - narrowed;
  assert.match(await banner(slow), /sound only/);
  await until('its pictures stop', async () => {
    const { frames } = await seen();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    return (await seen()).frames === frames;
  });
  const before = (await heard()).packets;
  await until('its sound goes on', async () => (await heard()).packets > before + 20);
  if (values.shots) await slow.tab.screenshot({ path: join(values.shots, 'audio.png') });
  const { frames } = await seen();
  narrow.up.limit = null;
  const widened = Date.now();

  // Meanwhile the other has tried more than once.
  const text = (await becomes(cutOff, 'text')) - began;
  assert.match(await banner(cutOff), /Messages still do/);
  assert(await cutOff.tab.$eval('#chat', (chat) => !chat.hidden), 'the messages are open');
  await cutOff.tab.type('#text', 'can you read me?');
  await cutOff.tab.keyboard.press('Enter');
  await until('the message arrives', () => witness.tab.evaluate(() => document.getElementById('messages').textContent.includes('can you read me?')));
  if (values.shots) await cutOff.tab.screenshot({ path: join(values.shots, 'text.png') });
  none.up.loss = none.down.loss = 0;
  const opened = Date.now();

  const full = (await becomes(slow, 'full')) - widened;
  await until('its pictures are back', async () => (await seen()).frames > frames + 5);
  const back = (await becomes(cutOff, 'full')) - opened;
  await until('the other is seen, too', async () => (await witness.tracks()).some((track) => track.from === 'cut-off' && track.kind === 'video' && track.frames > 5));
  assert.equal(await banner(slow), '');
  for (const person of [witness, slow, cutOff]) assert.deepEqual(person.complaints, []);
  for (const way of [narrow, none]) way.close();
  return { audio, full, text, back };
});
