// What the room page shows beside faces: a shared screen with its sound, no
// more videos than the machine decodes, codecs as the room allows.
//
//   node room/share.mjs PAGE KEY [--shots FOLDER]

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Person, Server, chromium, main, pause, until } from './browsers.mjs';

const { positionals: [page, key], values } = parseArgs({ allowPositionals: true, options: { shots: { type: 'string' } } });
assert(page && key, 'usage: node room/share.mjs PAGE KEY');
/** Videos in the room, and of those what a machine with one core decodes. */
const VIDEOS = 6;
const DECODED = 4;

await main(async () => {
  const server = new Server(page, key);
  const room = `share-${Date.now()}`;
  const presenting = await chromium();
  const watching = await chromium();
  const presenter = await Person.enter(presenting, server, { room, name: 'presenter', more: '&video=320x180@15' });
  const witness = await Person.enter(await watching.createBrowserContext(), server, { room, name: 'witness', more: '&video=off&audio=off', viewport: { width: 1280, height: 800 } });
  await witness.decodesAll(1);

  const shot = async (name) => values.shots && witness.tab.screenshot({ path: join(values.shots, `${name}.png`) });
  const from = async (name, source) => {
    const tracks = await witness.tab.evaluate((who) => {
      const one = [...window.forebayRoom.room.participants.values()].find((participant) => participant.name === who);
      return [...one.tracks.values()].map(({ id, source, codec }) => ({ id, source, codec }));
    }, name);
    const named = tracks.filter((track) => track.source === source);
    const seen = await witness.tracks();
    return named.map((track) => ({ ...track, ...seen.find(({ id }) => id === track.id) }))[0];
  };
  const tile = (id) => witness.tab.evaluate((name) => {
    const element = document.querySelector(`[data-tile="${name}"]`);
    return element && { classes: element.className, label: element.getAttribute('aria-label'), width: element.getBoundingClientRect().width };
  }, id);

  // The screen is enlarged for everybody, with its own sound.
  await presenter.tab.click('#screen');
  const screen = await until('the screen is seen', async () => {
    const found = await from('presenter', 'screen');
    return found?.frames > 3 && found;
  });
  const sound = await until('the screen is heard', async () => {
    const found = await from('presenter', 'screen_audio');
    return found?.packets > 20 && found;
  });
  assert(screen.height > 300, `in full size: ${screen.height}`);
  const id = await presenter.tab.evaluate(() => window.forebayRoom.room.me.id);
  const shown = await until('its tile is the large one', async () => {
    const found = await tile(`${id}-screen`);
    return found?.classes.includes('pinned') && found.classes.includes('seen') && found;
  });
  assert.equal(shown.label, 'presenter: screen');
  assert((await tile(id)).width < shown.width, 'larger than the face');
  assert.equal(await presenter.tab.$eval('#screen', (button) => button.getAttribute('aria-pressed')), 'true');
  assert(await presenter.tab.$('[data-tile="own-screen"].seen'), 'the presenter sees what is shared');
  await shot('screen');
  await presenter.tab.click('#screen');
  await until('the screen is gone', async () => !(await from('presenter', 'screen')) && !(await tile(`${id}-screen`)));
  assert(!(await from('presenter', 'screen_audio')), 'and its sound');
  assert((await from('presenter', 'camera')).frames > 0, 'the face stays');

  // A machine with one core decodes four; whoever speaks or is pinned is among them.
  const crowd = await presenting.newPage();
  await crowd.goto(`${server.page}/room`);
  const tokens = await Promise.all(Array.from({ length: VIDEOS - 1 }, (_, i) => server.token(room, `crowd-${i}`)));
  await crowd.evaluate(publishCanvases, tokens);
  const single = await Person.enter(await watching.createBrowserContext(), server, {
    room, name: 'single', more: '&video=off&audio=off', viewport: { width: 1280, height: 800 },
    before: [() => Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 1 })],
  });
  const videos = async (person) => (await person.tracks()).filter((track) => track.kind === 'video');
  const moving = async (person) => {
    const before = await videos(person);
    await pause(1_500);
    return (await videos(person)).filter((now) => now.frames > (before.find((old) => old.id === now.id)?.frames ?? 0) + 2).map((now) => now.from);
  };
  const few = await until('four are decoded', async () => {
    const now = await moving(single);
    return { done: now.length === DECODED && (await videos(single)).filter((track) => track.why === 'paused').length === VIDEOS - DECODED, now };
  });
  const left = (await videos(single)).find((track) => track.why === 'paused');
  await single.tab.evaluate((name) => {
    const { id: who } = [...window.forebayRoom.room.participants.values()].find((participant) => participant.name === name);
    document.querySelector(`[data-tile="${who}"] .pin`).click();
  }, left.from);
  await until('the pinned one is decoded', async () => {
    const now = await moving(single);
    return { done: now.includes(left.from) && now.length === DECODED, now };
  });
  if (values.shots) await single.tab.screenshot({ path: join(values.shots, 'few.png') });
  await single.tab.close();
  await crowd.close();

  // The room allows VP9 alone: who can send it does, who cannot is told why.
  const other = `${room}-vp9`;
  const chosen = await fetch(`${server.page}/v1/rooms/${other}/codecs`, {
    method: 'PUT', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify({ video: ['vp9'] }),
  });
  assert.equal(chosen.status, 200, await chosen.text());
  const sender = await Person.enter(presenting, server, { room: other, name: 'sender', more: '&video=320x180@15' });
  const plain = await Person.enter(watching, server, { room: other, name: 'plain', more: '&video=320x180@15', before: [vp8Alone] });
  await plain.decodesAll(1, ['video']);
  const codec = await plain.tab.evaluate(async () => {
    const rows = await window.forebayRoom.room.connections.subscriber.getStats();
    const video = [...rows.values()].find((row) => row.type === 'inbound-rtp' && row.kind === 'video');
    return rows.get(video.codecId).mimeType;
  });
  assert.equal(codec, 'video/VP9');
  await sender.decodesAll(1, ['audio']);
  const told = await until('why its picture is not sent', () => plain.tab.$eval('#banner', (banner) => (banner.hidden ? '' : banner.textContent)));
  assert.match(told, /camera is not sent: the room allows none of the codecs/);
  assert.equal(await plain.tab.$eval('#camera', (button) => button.getAttribute('aria-pressed')), 'true', 'the camera is off');
  assert.equal((await sender.tracks()).filter((track) => track.kind === 'video').length, 0);
  if (values.shots) await plain.tab.screenshot({ path: join(values.shots, 'refused.png') });
  for (const person of [presenter, witness, sender, plain]) assert.deepEqual(person.complaints, []);
  return { screen: `${screen.width}x${screen.height}`, sound: sound.packets, decoded: few.now.length, of: VIDEOS, codec, told };
});

/** In the page: a participant per token, each with a moving canvas. */
async function publishCanvases(tokens) {
  const { join: enter } = await import('/client/forebay.js');
  for (const [i, token] of tokens.entries()) {
    const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 90 });
    const paint = canvas.getContext('2d');
    let step = 0;
    setInterval(() => {
      step += 1;
      paint.fillStyle = `hsl(${i * 60} 60% 40%)`;
      paint.fillRect(0, 0, 160, 90);
      paint.fillStyle = 'white';
      paint.fillRect((step * 5) % 160, 20, 20, 50);
    }, 100);
    const room = await enter({ token, autoSubscribe: false });
    room.publish(canvas.captureStream(10).getVideoTracks()[0], { simulcast: false });
  }
}

/** In the page: video is offered in VP8 alone. */
function vp8Alone() {
  const original = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function addTransceiver(media, init) {
    const transceiver = original.call(this, media, init);
    if (media.kind !== 'video') return transceiver;
    const { codecs } = RTCRtpSender.getCapabilities('video');
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => ['video/VP8', 'video/rtx'].includes(mimeType)));
    return transceiver;
  };
}
