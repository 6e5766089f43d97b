// Layers by turns: the low one, the high one, and no picture stands still.
//
//   node room/switches.mjs PAGE KEY [--switches N] [--kinds VP8,H264,VP9/L2T3_KEY,…]
//
// A kind is a codec, sent as simulcast, or a codec and its scalability mode. A
// codec this Chromium cannot encode is left out and named. VP9/L2T3_KEY freezes
// for three seconds from page to page: Chromium's sender leaves the marker off a
// picture whose upper layer its encoder dropped. Here a keyframe follows.

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { Person, Server, chromium, main, pause, until } from './browsers.mjs';

const { positionals: [page, key], values } = parseArgs({
  allowPositionals: true,
  options: { switches: { type: 'string', default: '6' }, kinds: { type: 'string', default: 'VP8' } },
});
assert(page && key, 'usage: node room/switches.mjs PAGE KEY');
const SIZE = { width: 640, height: 360, rate: 15 };
/** From one switch to the next, at least, milliseconds. */
const EVERY = 1_500;
/** The longest time one picture may stand, milliseconds. */
const FREEZE = 1_000;

await main(async () => {
  const server = new Server(page, key);
  const outcomes = {};
  for (const kind of values.kinds.split(',')) outcomes[kind] = await alternate(server, ...kind.split('/'));
  return outcomes;
});

/** In the page: video is sent in this codec alone, as simulcast or in this mode. */
function sendAs(codec, mode) {
  const original = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function addTransceiver(media, init) {
    if (media.kind !== 'video') return original.call(this, media, init);
    const encodings = mode ? [{ scalabilityMode: mode, maxBitrate: 700_000 }] : init.sendEncodings;
    const transceiver = original.call(this, media, { ...init, sendEncodings: encodings });
    const { codecs } = RTCRtpReceiver.getCapabilities('video');
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => [`video/${codec}`, 'video/rtx'].includes(mimeType)));
    return transceiver;
  };
}

async function alternate(server, codec, mode) {
  const room = `switches-${codec}-${mode ?? 'simulcast'}-${Date.now()}`;
  const sending = await chromium({ film: SIZE });
  const asked = await sending.newPage();
  const known = await asked.evaluate((wanted) => RTCRtpSender.getCapabilities('video').codecs.some(({ mimeType }) => mimeType === `video/${wanted}`), codec);
  await asked.close();
  if (!known) {
    await sending.close();
    return 'this Chromium does not encode it';
  }
  const receiving = await chromium();
  const publisher = await Person.enter(sending, server, {
    room, name: 'publisher', more: '&audio=off&video=640x360@15', before: [sendAs, codec, mode],
  });
  // A window each: what lies behind is not drawn.
  const watch = async (name) => Person.enter(await receiving.createBrowserContext(), server, { room, name, more: '&video=off&audio=off', viewport: { width: 1280, height: 800 } });
  const subscriber = await watch('subscriber');
  // It sees every picture of the low layer: without a processor pictures come
  // late, in a forwarder that fails they do not come.
  const witness = await watch('witness');
  const video = (person) => person.tracks().then((tracks) => tracks.find((track) => track.kind === 'video'));
  const prefer = (person, spatial) => person.tab.evaluate(async (wanted) => {
    const tracks = [...window.forebayRoom.room.participants.values()].flatMap((one) => [...one.tracks.values()]);
    await tracks.find((track) => track.kind === 'video').prefer({ max_spatial: wanted });
  }, spatial);
  for (const person of [subscriber, witness]) await person.decodesAll(1, ['video']);
  await prefer(witness, 0);
  const shows = (high) => async () => {
    const { height, layer, media, muted } = await video(subscriber);
    return { done: height !== null && high === height > SIZE.height / 2, height, layer, media, muted };
  };
  await until(`${codec}: the high layer arrives`, shows(true), 40_000);
  await pause(2_000);

  const switches = [];
  const frozen = [];
  const look = async () => {
    const [seen, beside] = await Promise.all([video(subscriber), video(witness)]);
    return { ...seen, missing: beside.frames - seen.frames };
  };
  for (let i = 0; i < +values.switches; i++) {
    const high = i % 2 === 1;
    await subscriber.forgetGaps();
    const before = await look();
    const began = Date.now();
    await prefer(subscriber, high ? 3 : 0);
    await until(`${codec}: switch ${i} to ${high ? 'high' : 'low'}`, shows(high), 20_000);
    const took = Date.now() - began;
    await pause(Math.max(EVERY - took, 500));
    let after = await look();
    if (after.gap > FREEZE) {
      await pause(4_000);
      after = await look();
    }
    const missing = after.missing - before.missing;
    switches.push({ took, gap: Math.round(after.gap), missing });
    if (after.gap > FREEZE && missing >= (SIZE.rate * FREEZE) / 1000) {
      const { keyFrames, lost, nacks, plis } = after;
      frozen.push({ i, high, ...switches.at(-1), keyFrames, lost, nacks, plis, layers: (await subscriber.layers()).slice(-6) });
    }
  }
  assert.deepEqual(frozen, [], `${codec} ${mode ?? 'simulcast'}: pictures stood still`);
  for (const person of [publisher, subscriber, witness]) assert.deepEqual(person.complaints, []);
  await Promise.all([sending.close(), receiving.close()]);
  const worst = (of) => Math.max(...switches.map(of));
  return { switches: switches.length, slowest: worst((one) => one.took), gap: worst((one) => one.gap), missing: worst((one) => one.missing) };
}
