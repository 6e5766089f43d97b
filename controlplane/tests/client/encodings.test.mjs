import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitrateFor, simulcast, withOpusWishes } from '../../web/client/encodings.js';

test('encodings rise in quality and shrink in number with the picture', () => {
  const three = simulcast(1280, 720);
  assert.deepEqual(three.map((e) => [e.rid, e.scaleResolutionDownBy]), [['l', 4], ['m', 2], ['h', 1]]);
  for (const [low, high] of [[0, 1], [1, 2]]) assert(three[low].maxBitrate < three[high].maxBitrate);
  assert.deepEqual(simulcast(640, 360).map((e) => [e.rid, e.scaleResolutionDownBy]), [['l', 2], ['h', 1]]);
  assert.deepEqual(simulcast(360, 640), simulcast(640, 360), 'a phone held upright');
  const [only] = simulcast(320, 180);
  assert.equal(only.rid, undefined);
  assert.equal(bitrateFor(2160), bitrateFor(1080));
});

test('opus wishes are added once and nothing else is touched', () => {
  const sdp = [
    'v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111 63', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1',
    'a=rtpmap:63 red/48000/2', 'a=fmtp:63 111/111', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=rtpmap:96 VP8/90000', '',
  ].join('\r\n');
  const wished = withOpusWishes(sdp);
  assert(wished.includes('a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n'));
  assert.equal(withOpusWishes(wished), wished);
  assert.equal(wished.replace(';usedtx=1', ''), sdp);
  const without = withOpusWishes(sdp.replace('a=fmtp:111 minptime=10;useinbandfec=1\r\n', ''));
  assert(without.includes('a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n'));
});
