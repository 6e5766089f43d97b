// A call of browsers whose network lets no UDP through: they publish and
// subscribe over TCP (RFC 6544), beside one that has UDP.
//
//   node room/tcp.mjs PAGE KEY [--firefox N] [--seconds N]

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { Person, Server, chromium, firefox, main, pause } from './browsers.mjs';

const { positionals: [page, key], values } = parseArgs({
  allowPositionals: true,
  options: { firefox: { type: 'string', default: '1' }, seconds: { type: 'string', default: '6' } },
});
assert(page && key, 'usage: node room/tcp.mjs PAGE KEY');

/** In the page: of the server's candidates those over TCP are left, and no relay. */
function blockUdp() {
  const original = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function setRemoteDescription(description) {
    const sdp = description.sdp.replace(/^a=candidate:\S+ \d+ udp .*\r\n/gim, '');
    return original.call(this, { type: description.type, sdp });
  };
  const Original = RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      super({ ...configuration, iceServers: [] });
    }
  };
}

await main(async () => {
  const server = new Server(page, key);
  const room = `tcp-${Date.now()}`;
  const people = [await Person.enter(await chromium(), server, { room, name: 'free' })];
  const behind = async (name, browser) => people.push(await Person.enter(browser, server, { room, name, before: [blockUdp] }));
  await behind('chromium', await chromium());
  for (let i = 0; i < +values.firefox; i++) await behind(`firefox-${i}`, await firefox());
  for (const person of people) await person.decodesAll(people.length - 1);

  await pause(1_000);
  for (const person of people) await person.forgetGaps();
  const before = await Promise.all(people.map((person) => person.tracks()));
  await pause(+values.seconds * 1000);
  const lines = [];
  for (const [i, person] of people.entries()) {
    for (const track of await person.tracks()) {
      const from = before[i].find((one) => one.id === track.id);
      const line = { at: person.name, ...track, frames: track.frames - from.frames, packets: track.packets - from.packets };
      lines.push(line);
      if (line.kind === 'video') {
        assert(line.frames > +values.seconds * 5, `pictures come: ${JSON.stringify(line)}`);
        assert(line.gap < 1_000, `no picture stands still: ${JSON.stringify(line)}`);
      } else {
        assert(line.packets > +values.seconds * 2, `sound comes: ${JSON.stringify(line)}`);
      }
    }
  }
  const paths = Object.fromEntries(await Promise.all(people.map(async (person) => [person.name, await person.paths()])));
  for (const { name } of people) {
    const protocol = name === 'free' ? 'udp' : 'tcp';
    assert.equal(paths[name].publisher.protocol, protocol, `${name} publishes over ${protocol}`);
    assert.equal(paths[name].subscriber.protocol, protocol, `${name} subscribes over ${protocol}`);
  }
  return {
    paths, tracks: lines.map((l) => `${l.at} ← ${l.from} ${l.kind}: ${l.kind === 'video' ? `${l.frames} frames, ${l.keyFrames} of all keyframes, gap ${Math.round(l.gap)} ms` : `${l.packets} packets`}`),
  };
});
