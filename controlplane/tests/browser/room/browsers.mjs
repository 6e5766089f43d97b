// Browsers for the tests of rooms, and what is asked of the room page.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { film } from '../film.mjs';

/** A busy machine takes its time; milliseconds. */
export const PATIENCE = +(process.env.PATIENCE ?? 60_000);
/** What is decoded for less than this is not looked at; milliseconds. */
const BEGINNING = 1_000;

const open = [];
const folders = [];

export async function temporary() {
  const folder = await mkdtemp(join(tmpdir(), 'forebay-room-'));
  folders.push(folder);
  return folder;
}

/**
 * @param {{film?: {width: number, height: number, rate: number}}} [options] a film with grain costs the encoder what
 *   a camera does; Chromium's own picture hardly anything
 */
export async function chromium({ film: wanted } = {}) {
  const args = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--allow-loopback-in-peer-connection', '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream=fps=15', '--autoplay-policy=no-user-gesture-required',
    '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding',
  ];
  if (wanted) {
    const file = join(await temporary(), 'camera.y4m');
    await writeFile(file, film(wanted.width, wanted.height, wanted.rate * 2, wanted.rate));
    args.push(`--use-file-for-fake-video-capture=${file}`);
  }
  return started(await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args, protocolTimeout: 120_000,
  }));
}

export async function firefox() {
  return started(await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    protocolTimeout: 120_000,
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true,
      'media.navigator.permission.disabled': true,
      'media.peerconnection.ice.loopback': true,
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      // It would fetch an H.264 encoder from the network.
      'media.gmp-manager.updateEnabled': false,
      'media.gmp-gmpopenh264.enabled': false,
    },
  }));
}

function started(browser) {
  open.push(browser);
  return browser;
}

export async function closeAll() {
  await Promise.all(open.map((browser) => Promise.race([
    browser.close().catch(() => {}),
    new Promise((resolve) => setTimeout(() => { browser.process()?.kill('SIGKILL'); resolve(); }, 10_000).unref()),
  ])));
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function until(what, holds, patience = PATIENCE) {
  const deadline = Date.now() + patience;
  let last;
  for (;;) {
    last = await holds();
    if (last?.done ?? last) return last;
    assert(Date.now() < deadline, `in time: ${what}; last: ${JSON.stringify(last)}`);
    await pause(100);
  }
}

/** The server the tests talk to. */
export class Server {
  constructor(page, key) {
    this.page = page.replace(/\/$/, '');
    this.key = key;
  }

  async token(room, identity, grants) {
    const answer = await fetch(`${this.page}/v1/tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ room, identity, name: identity, ttl: 3600, ...(grants ? { grants } : {}) }),
    });
    assert.equal(answer.status, 200, await answer.clone().text());
    return (await answer.json()).token;
  }
}

/** A participant: one page in one browser. */
export class Person {
  complaints = [];

  /** @param {import('puppeteer-core').Page} tab */
  constructor(tab, name) {
    this.tab = tab;
    this.name = name;
    tab.on('pageerror', (error) => this.complaints.push(String(error)));
    tab.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
  }

  /**
   * Enters the room.
   * @param {import('puppeteer-core').Browser} browser
   * @param {Server} server
   * @param {{room: string, name: string, more?: string, ports?: Record<number, number>, viewport?: object, before?: any[]}} options
   *   `ports`: media ports of the server that are reached by others; `before`: a function that runs in the page before
   *   all else, and its arguments
   */
  static async enter(browser, server, { room, name, more = '&video=320x180@15', ports, viewport, before }) {
    const tab = await browser.newPage();
    await tab.setViewport(viewport ?? { width: 1000, height: 700 });
    const person = new Person(tab, name);
    if (ports) await tab.evaluateOnNewDocument(reroute, ports);
    if (before) await tab.evaluateOnNewDocument(...before);
    const token = await server.token(room, name);
    await tab.goto(`${server.page}/room#token=${token}&auto${more}`);
    await until(`${name} is in the room`, () => tab.evaluate(() => window.forebayRoom?.state === 'connected'));
    await tab.evaluate(watchFrames, BEGINNING);
    await tab.evaluate(() => {
      const layers = window.forebayLayers = [];
      window.forebayRoom.room.addEventListener('layer', ({ detail: { track } }) => {
        layers.push(`${Math.round(performance.now())} ms ${track.participant.name} ${track.layer.spatial ?? track.layer.why} T${track.layer.temporal}`);
      });
    });
    return person;
  }

  /** What is received: a line per remote track. */
  tracks() {
    return this.tab.evaluate(async () => {
      const { room } = window.forebayRoom;
      const { subscriber } = room.connections;
      const rows = subscriber ? [...(await subscriber.getStats()).values()].filter((row) => row.type === 'inbound-rtp') : [];
      const mids = new Map((subscriber?.getTransceivers() ?? []).map((t) => [t.receiver.track, t.mid]));
      return [...room.participants.values()].flatMap((participant) => [...participant.tracks.values()].map((track) => {
        const row = rows.find((one) => one.mid === mids.get(track.media));
        const seen = window.forebayFrames?.get(track.id);
        return {
          from: participant.name, id: track.id, kind: track.kind, muted: track.muted, media: track.media !== null,
          layer: track.layer?.spatial ?? null, why: track.layer?.why, frames: row?.framesDecoded ?? 0, packets: row?.packetsReceived ?? 0,
          lost: row?.packetsLost ?? 0, height: row?.frameHeight ?? null, width: row?.frameWidth ?? null, samples: row?.totalSamplesReceived ?? 0,
          concealed: (row?.concealedSamples ?? 0) - (row?.silentConcealedSamples ?? 0), freezes: row?.freezeCount ?? null,
          keyFrames: row?.keyFramesDecoded ?? 0, nacks: row?.nackCount ?? 0, plis: row?.pliCount ?? 0,
          stall: Math.round(window.forebayStall ?? 0), shown: seen?.frames ?? 0, gap: seen ? Math.max(seen.gap, seen.settled ? performance.now() - seen.last : 0) : null, bytes: row?.bytesReceived ?? 0,
        };
      }));
    });
  }

  /** Waits until every track of `others` people is decoded: `kinds` of each. */
  async decodesAll(others, kinds = ['audio', 'video']) {
    return until(`${this.name} decodes ${others} others`, async () => {
      const tracks = await this.tracks();
      const done = kinds.every((kind) => {
        const all = tracks.filter((track) => track.kind === kind);
        return all.length === others && all.every((track) => (kind === 'video' ? track.frames > 2 : track.packets > 5));
      });
      return { done, tracks };
    });
  }

  /** What the server said of layers, for who looks for the cause of a failure. */
  layers() {
    return this.tab.evaluate(() => window.forebayLayers);
  }

  /** Forgets the gaps seen so far. */
  forgetGaps() {
    return this.tab.evaluate(() => {
      for (const seen of window.forebayFrames.values()) seen.gap = 0;
      window.forebayStall = 0;
    });
  }

  paths() {
    return this.tab.evaluate(() => {
      const { publisher, subscriber } = window.forebayRoom.room.sample ?? {};
      return { publisher: publisher?.path ?? null, subscriber: subscriber?.path ?? null };
    });
  }
}

/** In the page: the server's candidates get the port of something in between. */
function reroute(ports) {
  const original = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function setRemoteDescription(description) {
    // Over TCP nothing is in between.
    const udp = description.sdp.replace(/^a=candidate:\S+ \d+ tcp .*\r\n/gim, '');
    const sdp = udp.replace(/^(a=candidate:\S+ \d+ udp \d+ \S+ )(\d+)/gim, (whole, before, port) => before + (ports[port] ?? port));
    return original.call(this, { type: description.type, sdp });
  };
}

/**
 * In the page: the longest time without a new picture, per video; and without
 * a turn of the page itself, which shows a machine that is too busy.
 */
function watchFrames(beginning) {
  const frames = window.forebayFrames = new Map();
  const watched = new WeakSet();
  let turn = performance.now();
  window.forebayStall = 0;
  setInterval(() => {
    const now = performance.now();
    window.forebayStall = Math.max(window.forebayStall, now - turn);
    turn = now;
    for (const participant of window.forebayRoom.room?.participants.values() ?? []) {
      for (const track of participant.tracks.values()) {
        const tile = document.querySelector(`[data-tile="${track.source === 'screen' ? `${participant.id}-screen` : participant.id}"] video`);
        if (track.kind !== 'video' || !tile || watched.has(tile)) continue;
        watched.add(tile);
        const seen = { frames: 0, first: 0, last: 0, gap: 0, settled: false };
        frames.set(track.id, seen);
        const again = (now) => {
          seen.frames += 1;
          seen.first ||= now;
          if (seen.settled) seen.gap = Math.max(seen.gap, now - seen.last);
          seen.settled ||= now - seen.first > beginning;
          seen.last = now;
          tile.requestVideoFrameCallback(again);
        };
        tile.requestVideoFrameCallback(again);
      }
    }
  }, 50);
}

/** Runs it and leaves with what it says. */
export async function main(run) {
  let failed = false;
  try {
    console.log(JSON.stringify(await run()));
  } catch (error) {
    failed = true;
    console.log(`FAILED ${error.stack}`);
  } finally {
    await closeAll();
  }
  process.exit(failed ? 1 : 0);
}
