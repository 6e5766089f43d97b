// Drives the relay-check page in Chromium against running servers.
//
//   node relay-check.mjs PAGE KEY [SCREENSHOT_FOLDER]
//
// Prints one line per check and a JSON summary; fails with exit status 1.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { film } from './film.mjs';

const [page, key, shots] = process.argv.slice(2);
assert(page && key, 'usage: node relay-check.mjs PAGE KEY [SCREENSHOT_FOLDER]');

// A busy machine takes its time; the page's own limits are shorter.
const PATIENCE = 60_000;

const profile = await mkdtemp(join(tmpdir(), 'forebay-browser-'));
const camera = join(profile, 'camera.y4m');
await writeFile(camera, film(640, 360, 30));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  viewport: { width: 1280, height: 900 },
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${camera}`,
  ],
});

const summary = {};
let failures = 0;

async function scenario(name, run) {
  const tab = await browser.newPage();
  const complaints = [];
  tab.on('pageerror', (error) => complaints.push(String(error)));
  tab.on('console', (message) => {
    // A refused request is logged by the browser itself; some scenarios want one.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  try {
    summary[name] = (await run(tab)) ?? 'passed';
    assert.deepEqual(complaints, [], 'the console is clean');
    console.log(`ok ${name}`);
  } catch (error) {
    failures += 1;
    const report = await tab.evaluate(() => window.forebayCheck?.report()).catch(() => null);
    console.log(`FAILED ${name}: ${error.stack}\n${JSON.stringify(report, null, 1)}`);
    if (shots) await tab.screenshot({ path: join(shots, `failed-${name}.png`), fullPage: true }).catch(() => {});
  } finally {
    await tab.close();
  }
}

const reaches = (tab, state) => tab.waitForFunction(
  (wanted) => {
    const now = document.documentElement.dataset.state;
    if (now === 'failed' && wanted !== 'failed') throw new Error(`failed: ${JSON.stringify(window.forebayCheck.failure)}`);
    return now === wanted;
  }, state, { timeout: PATIENCE });

const report = (tab) => tab.evaluate(() => window.forebayCheck.report());
const shot = async (tab, name) => {
  if (shots) await tab.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
};

await scenario('camera', async (tab) => {
  await tab.emulateMedia({ colorScheme: 'light' });
  await tab.goto(`${page}#key=${key}`);
  await reaches(tab, 'relayed');
  assert(!tab.url().includes(key), 'the key leaves the address bar');
  const early = await report(tab);
  await tab.waitForFunction((from) => window.forebayCheck.samples.length >= from + 8, early.seconds, { timeout: PATIENCE });
  const late = await report(tab);
  assert.equal(late.source.synthetic, false, 'the fake camera is sent');
  assert.equal(late.pair.local.type, 'relay');
  assert.equal(late.pair.remote.type, 'relay');
  assert(late.candidates.some((c) => c.side === 'sender') && late.candidates.some((c) => c.side === 'receiver'));
  assert(late.totals.bytesReceived > early.totals.bytesReceived + 50_000, 'bytes come through');
  assert(late.totals.framesDecoded > early.totals.framesDecoded, 'pictures come through');
  const rates = await tab.evaluate(() => window.forebayCheck.samples.map((s) => s.bitrateReceived));
  assert(Math.max(...rates.slice(2)) > Math.min(...rates.slice(0, 2)) * 1.5, `the bitrate rises: ${rates.map(Math.round)}`);
  assert(late.totals.packetsLost <= late.totals.packetsReceived * 0.02, 'hardly anything is lost');
  assert(!JSON.stringify(late).includes(key), 'the report holds no key');
  assert(await tab.evaluate(() => document.getElementById('received').videoWidth > 0), 'the received picture shows');
  const overflow = () => tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(await overflow(), 0, 'no sideways scrolling');
  await shot(tab, 'light');
  await tab.emulateMedia({ colorScheme: 'dark' });
  await shot(tab, 'dark');
  await tab.setViewportSize({ width: 390, height: 844 });
  await tab.waitForTimeout(300);
  assert.equal(await overflow(), 0, 'no sideways scrolling on a phone');
  await shot(tab, 'phone-dark');
  await tab.emulateMedia({ colorScheme: 'light' });
  await shot(tab, 'phone-light');
  await tab.setViewportSize({ width: 1280, height: 900 });

  await tab.getByRole('button', { name: 'Stop' }).click();
  await reaches(tab, 'stopped');
  await tab.getByRole('button', { name: 'Start again' }).click();
  await reaches(tab, 'relayed');
  return { rates: rates.map(Math.round), codec: late.codec, bitrate: late.bitrate, roundTripMs: late.last.roundTripMs };
});

await scenario('no-camera', async (tab) => {
  await tab.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('denied', 'NotAllowedError'); };
  });
  await tab.goto(`${page}#key=${key}`);
  await reaches(tab, 'relayed');
  const { source } = await report(tab);
  assert.equal(source.synthetic, true);
  assert.match(source.label, /test picture: the camera was not allowed/);
  await tab.waitForTimeout(2_500);
  await shot(tab, 'test-picture');
});

await scenario('slow-permission', async (tab) => {
  await tab.addInitScript(() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}); });
  await tab.goto(`${page}#key=${key}`);
  await tab.getByRole('button', { name: 'Use a test picture' }).click();
  await reaches(tab, 'relayed');
});

await scenario('key-by-hand', async (tab) => {
  await tab.goto(page);
  await reaches(tab, 'needs-key');
  await tab.getByLabel('API key').fill('this is not the key at all');
  await tab.getByRole('button', { name: 'Use this key' }).click();
  await tab.getByText('This key is not known').waitFor({ timeout: PATIENCE });
  await shot(tab, 'wrong-key');
  await tab.getByLabel('API key').fill(key);
  await tab.keyboard.press('Enter');
  await reaches(tab, 'relayed');
});

/** The real answer, changed. */
async function withCredentials(tab, change) {
  await tab.route('**/v1/turn/credentials', async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    change(body);
    await route.fulfill({ response, json: body });
  });
  await tab.goto(`${page}#key=${key}`);
  await reaches(tab, 'failed');
  return tab.evaluate(() => window.forebayCheck.failure);
}

await scenario('wrong-password', async (tab) => {
  const failure = await withCredentials(tab, (body) => { body.iceServers[0].credential = 'bm90IHRoZSBwYXNzd29yZA=='; });
  assert.equal(failure.code, 'turn-unauthorized', JSON.stringify(failure));
  assert(failure.fixes.length > 0);
  await shot(tab, 'wrong-password');
});

await scenario('no-server', async (tab) => {
  const failure = await withCredentials(tab, (body) => {
    body.uris = body.iceServers[0].urls = ['turn:127.0.0.1:9?transport=udp'];
  });
  assert.equal(failure.code, 'no-relay-candidate', JSON.stringify(failure));
  await shot(tab, 'no-server');
});

await scenario('control-plane-error', async (tab) => {
  await tab.route('**/v1/turn/credentials', (route) => route.fulfill({
    status: 503, json: { error: { code: 'unavailable', message: 'every TURN secret is past its not_after' } },
  }));
  await tab.goto(`${page}#key=${key}`);
  await reaches(tab, 'failed');
  await tab.getByText('every TURN secret is past its not_after').waitFor();
});

await browser.close();
await rm(profile, { recursive: true, force: true });
console.log(JSON.stringify(summary));
process.exit(failures ? 1 : 0);
