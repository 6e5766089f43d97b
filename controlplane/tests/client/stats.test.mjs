import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Report, counters, difference, path } from '../../web/client/stats.js';

const video = (at, more) => ({
  id: 'in', type: 'inbound-rtp', kind: 'video', mid: '1', timestamp: at, bytesReceived: 0, packetsReceived: 0, packetsLost: 0,
  framesDecoded: 0, freezeCount: 0, totalFreezesDuration: 0, frameWidth: 640, frameHeight: 360, codecId: 'c', ...more,
});
const all = new Map([['c', { id: 'c', mimeType: 'video/VP8' }]]);

test('rates come from differences', () => {
  const before = counters([video(1_000)], all);
  const now = counters([video(3_000, { bytesReceived: 250_000, packetsReceived: 190, packetsLost: 10, framesDecoded: 60, jitter: 0.004 })], all);
  const sample = difference(before, now);
  assert.equal(sample.bitrate, 1_000_000);
  assert.equal(sample.loss, 0.05);
  assert.equal(sample.framesPerSecond, 30);
  assert.equal(sample.jitterMs, 4);
  assert.equal(sample.codec, 'VP8');
  assert.equal(sample.freezes, 0);
});

test('counters that start anew count from nothing', () => {
  const before = counters([video(1_000, { bytesReceived: 9_000_000, packetsReceived: 9_000, framesDecoded: 900 })], all);
  const sample = difference(before, counters([video(3_000, { bytesReceived: 10, packetsReceived: 1 })], all));
  assert.deepEqual([sample.bitrate, sample.packets, sample.frames, sample.freezes], [0, 0, 0, 0]);
});

test('a picture that stands still is a freeze before the browser says so', () => {
  const before = counters([video(1_000, { framesDecoded: 50, bytesReceived: 10 })], all);
  const now = counters([video(3_000, { framesDecoded: 50, bytesReceived: 10 })], all);
  assert.deepEqual([difference(before, now).freezes, difference(before, now).freezeMs], [1, 2_000]);
  assert.equal(difference(before, now, false).freezes, 0, 'a paused one does not count');
  const told = counters([video(3_000, { framesDecoded: 70, bytesReceived: 20, freezeCount: 1, totalFreezesDuration: 0.4 })], all);
  assert.deepEqual([difference(before, told).freezes, difference(before, told).freezeMs], [1, 400]);
});

test('simulcast is added up and the largest picture speaks', () => {
  const out = (rid, height, bytes) => ({
    id: rid, type: 'outbound-rtp', kind: 'video', mid: '0', rid, timestamp: 1_000, bytesSent: bytes, packetsSent: bytes / 1000,
    framesEncoded: 30, frameWidth: (height * 16) / 9, frameHeight: height, qualityLimitationReason: rid === 'h' ? 'bandwidth' : 'none',
    remoteId: `r${rid}`,
  });
  const report = new Map([['rl', { roundTripTime: 0.02, packetsLost: 1, jitter: 0.001 }], ['rh', { packetsLost: 2, jitter: 0.003 }]]);
  const now = counters([out('l', 180, 1_000), out('h', 360, 4_000), out('x', 720, 0)], report);
  assert.deepEqual([now.bytes, now.lost, now.height, now.limited], [5_000, 3, 720, 'bandwidth']);
  assert.deepEqual(now.active, ['l', 'h']);
  assert.equal(now.roundTripMs, 20);
  assert.equal(now.jitterMs, 3);
});

test('sound that breaks off is counted', () => {
  const audio = (at, concealed, silent) => counters([{
    type: 'inbound-rtp', kind: 'audio', timestamp: at, bytesReceived: at, packetsReceived: at, concealedSamples: concealed, silentConcealedSamples: silent,
  }], new Map());
  assert.equal(difference(audio(0, 0, 0), audio(2_000, 48_000, 47_900)).freezes, 0, 'silence is not missed');
  assert.deepEqual(difference(audio(0, 0, 0), audio(2_000, 9_600, 0)).freezeMs, 200);
});

test('the pair in use is found in either browser', () => {
  const pair = { id: 'p', type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.012, localCandidateId: 'l' };
  const local = { id: 'l', candidateType: 'relay', protocol: 'udp' };
  const firefox = path(new Map([['p', pair], ['l', local]]));
  assert.deepEqual([firefox.roundTripMs, firefox.local, firefox.outgoing], [12, 'relay', null]);
  const transport = { id: 't', type: 'transport', selectedCandidatePairId: 'p', srtpCipher: 'AEAD_AES_128_GCM' };
  const chromium = path(new Map([['t', transport], ['p', { ...pair, availableOutgoingBitrate: 5 }]]));
  assert.deepEqual([chromium.outgoing, chromium.cipher], [5, 'AEAD_AES_128_GCM']);
  assert.equal(path(new Map()), null);
});

test('reports add up and begin anew', () => {
  const report = new Report();
  report.add('TR_1', { freezes: 1, freezeMs: 300, frames: 30, width: 640, height: 360 });
  report.add('TR_1', { freezes: 0, freezeMs: 0, frames: 60, width: 320, height: 180 });
  assert.deepEqual(report.take(), [{ track: 'TR_1', freezes: 1, freeze_ms: 300, frames: 90, width: 320, height: 180 }]);
  assert.deepEqual(report.take(), []);
});
