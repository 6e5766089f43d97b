// WHIP and WHEP from Chromium with plain fetch.
//
//   node fetch.mjs ORIGIN ROOM PUBLISH_TOKEN PLAY_TOKEN [PROGRAM ARGUMENTS…]
//
// Publishes simulcast from one page, plays it on another, chooses layers there
// and, at the same time, with the program, restarts ICE, ends both. Prints one
// line of JSON; exit status 1 on failure.
// Run it in tests/browser, where playwright-core is.

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { chromium } = createRequire(join(process.cwd(), 'package.json'))('playwright-core');
const [origin, room, publishToken, playToken, program, ...more] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), 'forebay-whip-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  ],
});

/** Runs in the page. */
const open = async ({ path, token, publish }) => {
  const call = (method, url, headers = {}, body) =>
    fetch(url, { method, headers: { authorization: `Bearer ${token}`, ...headers }, body });
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  if (publish) {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
    pc.addTransceiver(media.getAudioTracks()[0], { direction: 'sendonly', streams: [media] });
    pc.addTransceiver(media.getVideoTracks()[0], {
      direction: 'sendonly', streams: [media],
      sendEncodings: [{ rid: 'h', scaleResolutionDownBy: 2 }, { rid: 'f' }],
    });
  } else {
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.ontrack = ({ track }) => {
      const element = document.createElement(track.kind);
      element.srcObject = new MediaStream([track]);
      element.muted = element.autoplay = true;
      document.body.append(element);
    };
  }
  const candidates = [];
  pc.onicecandidate = ({ candidate }) => candidate?.candidate && candidates.push(candidate);
  await pc.setLocalDescription(await pc.createOffer());
  const made = await call('POST', path, { 'content-type': 'application/sdp' }, pc.localDescription.sdp);
  if (made.status !== 201) throw new Error(`${made.status}: ${await made.text()}`);
  await pc.setRemoteDescription({ type: 'answer', sdp: await made.text() });
  const session = new URL(made.headers.get('location'), location.href).href;
  window.whip = { pc, call, session, etag: made.headers.get('etag'), candidates };
  return { link: made.headers.get('link'), etag: whip.etag };
};

const connected = (page) =>
  page.waitForFunction(() => whip.pc.connectionState === 'connected', null, { timeout: 20_000 });

/** Frames sent or decoded once there are `least` of them. */
const frames = async (page, least) => {
  const read = async () => {
    const seen = { encodings: {}, decoded: 0, heard: 0, height: 0 };
    for (const s of (await whip.pc.getStats()).values()) {
      if (s.type === 'outbound-rtp' && s.kind === 'video') seen.encodings[s.rid] = s.framesEncoded;
      if (s.type === 'inbound-rtp' && s.kind === 'video') [seen.decoded, seen.height] = [s.framesDecoded, s.frameHeight];
      if (s.type === 'inbound-rtp' && s.kind === 'audio') seen.heard = s.packetsReceived;
    }
    return seen;
  };
  const deadline = Date.now() + 20_000;
  for (;;) {
    const seen = await page.evaluate(read);
    const count = seen.decoded + Object.values(seen.encodings).reduce((a, b) => a + (b ?? 0), 0);
    if (count >= least) return seen;
    if (Date.now() > deadline) throw new Error(`frames: ${JSON.stringify(seen)}`);
    await page.waitForTimeout(200);
  }
};

const summary = {};
try {
  const [publisher, player] = [await browser.newPage(), await browser.newPage()];
  for (const page of [publisher, player]) await page.goto(origin);
  summary.published = await publisher.evaluate(open, { path: `/whip/${room}`, token: publishToken, publish: true });
  await connected(publisher);
  summary.sent = await frames(publisher, 60);
  summary.playing = await player.evaluate(open, { path: `/whep/${room}`, token: playToken, publish: false });
  await connected(player);
  summary.received = await frames(player, 60);

  // The draft's way to learn which layers there are.
  summary.told = await player.evaluate(async (link) => {
    const events = /<([^>]+)>; rel="[^"]+:server-sent-events"/.exec(link)[1];
    const opened = await whip.call('POST', events, { 'content-type': 'application/json' }, '["active","layers","viewercount"]');
    const source = new EventSource(opened.headers.get('location'));
    const told = {};
    const heard = (name) => new Promise((resolve) => source.addEventListener(name, ({ data }) => {
      told[name] = JSON.parse(data);
      resolve();
    }, { once: true }));
    const all = Promise.all(['active', 'layers', 'viewercount'].map(heard));
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 10_000))]);
    source.close();
    const { status } = await whip.call('DELETE', opened.headers.get('location'));
    return { opened: opened.status, ...told, closed: status };
  }, summary.playing.link);

  const other = program ? new Promise((resolve, reject) => {
    execFile(program, more, (error, said) => (error ? reject(error) : resolve(JSON.parse(said))));
  }) : null;
  summary.layers = await player.evaluate(async () => {
    const height = async () => [...(await whip.pc.getStats()).values()]
      .find((s) => s.type === 'inbound-rtp' && s.kind === 'video')?.frameHeight;
    const seen = [];
    for (const [body, wanted] of [[{}, 360], [{ mediaId: '1', encodingId: 'h' }, 180], [{}, 360]]) {
      const headers = { 'content-type': 'application/json' };
      const { status } = await whip.call('POST', `${whip.session}/layer`, headers, JSON.stringify(body));
      const deadline = performance.now() + 20_000;
      while (await height() !== wanted && performance.now() < deadline) await new Promise((r) => setTimeout(r, 100));
      seen.push([status, await height()]);
    }
    return seen;
  });
  summary.program = await other;

  summary.trickled = await publisher.evaluate(async () => {
    const lines = ['a=ice-ufrag:' + /a=ice-ufrag:(\S+)/.exec(whip.pc.localDescription.sdp)[1],
      'a=ice-pwd:' + /a=ice-pwd:(\S+)/.exec(whip.pc.localDescription.sdp)[1], 'm=audio 9 UDP/TLS/RTP/SAVPF 0', 'a=mid:0',
      ...whip.candidates.map((c) => `a=${c.candidate}`), 'a=end-of-candidates', ''];
    const headers = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': whip.etag };
    return (await whip.call('PATCH', whip.session, headers, lines.join('\r\n'))).status;
  });

  // An ICE restart: the fragments go to and fro, the offer and answer follow.
  summary.restarted = await player.evaluate(async () => {
    const { pc } = whip;
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    const field = (sdp, name) => new RegExp(`a=${name}:(\\S+)`).exec(sdp)[1];
    const local = pc.localDescription.sdp;
    const body = `a=ice-ufrag:${field(local, 'ice-ufrag')}\r\na=ice-pwd:${field(local, 'ice-pwd')}\r\n`;
    const headers = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' };
    const response = await whip.call('PATCH', whip.session, headers, body);
    const fragment = await response.text();
    if (response.status !== 200) throw new Error(`${response.status}: ${fragment}`);
    const sdp = pc.currentRemoteDescription.sdp
      .replace(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${field(fragment, 'ice-ufrag')}`)
      .replace(/a=ice-pwd:\S+/g, `a=ice-pwd:${field(fragment, 'ice-pwd')}`);
    await pc.setRemoteDescription({ type: 'answer', sdp });
    const changed = response.headers.get('etag') !== whip.etag;
    return { status: response.status, changed };
  });
  const before = await frames(player, 1);
  summary.after = await frames(player, before.decoded + 60);

  summary.deleted = [];
  for (const page of [player, publisher]) {
    summary.deleted.push(await page.evaluate(async () => [
      (await whip.call('DELETE', whip.session)).status, (await whip.call('DELETE', whip.session)).status,
    ]));
  }
} catch (error) {
  summary.failed = String(error.stack ?? error);
  process.exitCode = 1;
} finally {
  console.log(JSON.stringify(summary));
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
