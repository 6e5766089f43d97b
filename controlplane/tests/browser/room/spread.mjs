// A room over two workers: what is sent on one is seen on the other.
//
//   node room/spread.mjs PAGE KEY
//
// The server is told to put no more than two people of a room on a worker.

import assert from 'node:assert/strict';
import { Person, Server, chromium, main, pause, until } from './browsers.mjs';

const [page, key] = process.argv.slice(2);
assert(page && key, 'usage: node room/spread.mjs PAGE KEY');
const SIZE = { width: 640, height: 360, rate: 15 };

await main(async () => {
  const server = new Server(page, key);
  const room = `spread-${Date.now()}`;
  const enter = async (name, film, more) => Person.enter(await chromium(film ? { film } : {}), server, {
    room, name, more, viewport: { width: 1280, height: 800 },
  });
  const ada = await enter('ada', SIZE, '&video=640x360@15');
  const bob = await enter('bob', null, '&video=off');
  const eve = await enter('eve', null, '&video=320x180@15');
  await bob.decodesAll(2, ['video']);
  await ada.decodesAll(2, ['audio']);
  await ada.decodesAll(1, ['video']);
  await eve.decodesAll(2, ['audio']);
  await eve.decodesAll(1, ['video']);
  const answer = await fetch(`${server.page}/v1/rooms/${room}`, { headers: { authorization: `Bearer ${key}` } });
  const { workers } = (await answer.json()).room;
  assert.deepEqual(workers, [0, 1], 'the room is on both workers');

  // Layers are chosen across the link, too.
  const video = () => eve.tracks().then((tracks) => tracks.find((track) => track.kind === 'video'));
  const prefer = (spatial) => eve.tab.evaluate(async (wanted) => {
    const tracks = [...window.forebayRoom.room.participants.values()].flatMap((one) => [...one.tracks.values()]);
    await tracks.find((track) => track.kind === 'video').prefer({ max_spatial: wanted });
  }, spatial);
  const shows = (height) => async () => {
    const { height: now, layer } = await video();
    return { done: now === height, now, layer };
  };
  await until('the high layer crosses', shows(SIZE.height), 40_000);
  await prefer(0);
  const fell = await until('the low layer crosses', shows(SIZE.height / 2), 15_000);
  await prefer(3);
  const rose = await until('the high layer crosses again', shows(SIZE.height), 20_000);

  for (const person of [ada, bob, eve]) await person.forgetGaps();
  const before = await Promise.all([ada, bob, eve].map((person) => person.tracks()));
  await pause(6_000);
  const after = await Promise.all([ada, bob, eve].map((person) => person.tracks()));
  const flows = after.flatMap((tracks, i) => tracks.map((track) => {
    const from = before[i].find((one) => one.id === track.id);
    return { at: ['ada', 'bob', 'eve'][i], from: track.from, kind: track.kind, frames: track.frames - from.frames, packets: track.packets - from.packets, gap: track.gap };
  }));
  for (const flow of flows) {
    assert(flow.kind === 'audio' ? flow.packets > 6 : flow.frames > 20, `media flows: ${JSON.stringify(flows)}`);
  }
  for (const person of [ada, bob, eve]) assert.deepEqual(person.complaints, []);
  return { workers, fell: fell.layer, rose: rose.layer, flows };
});
