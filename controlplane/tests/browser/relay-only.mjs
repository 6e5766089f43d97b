// Two relay-only peers in Chromium send each other messages through a TURN
// server, while the page they are on comes from the same port.
//
//   node relay-only.mjs PAGE USER PASSWORD URL...
//
// Fails with exit status 1 unless every message comes back for every URL.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [page, username, credential, ...urls] = process.argv.slice(2);
assert(urls.length, 'usage: node relay-only.mjs PAGE USER PASSWORD URL...');
const MESSAGES = 50;

const profile = await mkdtemp(join(tmpdir(), 'forebay-browser-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  ignoreHTTPSErrors: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--ignore-certificate-errors',
  ],
});

async function echo({ urls, username, credential, count }) {
  const config = { iceServers: [{ urls, username, credential }], iceTransportPolicy: 'relay' };
  const [one, two] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
  const errors = [];
  for (const [from, to] of [[one, two], [two, one]]) {
    from.onicecandidate = ({ candidate }) => candidate && to.addIceCandidate(candidate);
    from.onicecandidateerror = ({ errorCode, errorText }) => errors.push(`${errorCode} ${errorText}`);
  }
  two.ondatachannel = ({ channel }) => { channel.onmessage = ({ data }) => channel.send(data); };
  const channel = one.createDataChannel('echo');
  const came = [];
  const all = new Promise((resolve, reject) => {
    channel.onopen = () => { for (let n = 0; n < count; n += 1) channel.send(`message ${n}`); };
    channel.onmessage = ({ data }) => { came.push(data); if (came.length === count) resolve(); };
    setTimeout(() => reject(new Error(`${came.length} came back; ${errors.join('; ')}`)), 40_000);
  });
  await one.setLocalDescription();
  await two.setRemoteDescription(one.localDescription);
  await two.setLocalDescription();
  await one.setRemoteDescription(two.localDescription);
  await all;
  const stats = [...(await one.getStats()).values()];
  const pair = stats.find((stat) => stat.type === 'candidate-pair' && stat.nominated);
  const local = stats.find((stat) => stat.id === pair.localCandidateId);
  one.close();
  two.close();
  return { type: local.candidateType, protocol: local.relayProtocol };
}

let failed = false;
try {
  const tab = await browser.newPage();
  await tab.goto(page);
  console.log(`page: ${(await tab.textContent('body')).trim()}`);
  for (const url of urls) {
    try {
      const way = await tab.evaluate(echo, { urls: url, username, credential, count: MESSAGES });
      assert.equal(way.type, 'relay');
      console.log(`ok ${url} ${way.protocol}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED ${url}: ${error.message}`);
    }
  }
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
