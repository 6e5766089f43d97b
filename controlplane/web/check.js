// One run of the check: credentials, two peer connections that may only use
// the relay, statistics. Knows nothing of the page; it reports events.

import { candidatesFailure, connectionFailure, credentialsFailure, lostFailure, mediaFailure, unexpectedFailure } from './advice.js';
import { openSource } from './source.js';
import { read, sample } from './stats.js';

const SAMPLE_EVERY = 1000;
// ICE gives a TURN server that is silent about ten seconds (RFC 8489 §6.2.1).
const GATHER_WITHIN = 15_000;
const CONNECT_WITHIN = 30_000;
const MEDIA_WITHIN = 15_000;
// So that a forgotten tab does not use the relay for ever.
const RUN_FOR = 600_000;
const KEEP_SAMPLES = 600;
// Video opens up step by step, so that the chart shows from which rate on a
// thin path begins to lose.
const RATE_FIRST = 120_000;
const RATE_STEP = 1.5;
const RATE_LAST = 4_000_000;

class Failed extends Error {
  constructor(failure) {
    super(failure.title);
    this.failure = failure;
  }
}

/**
 * Events (CustomEvent with detail): `state` {state}, `source` {source},
 * `waiting` {useTestPicture}, `received` {stream}, `candidate` {candidate},
 * `sample` {sample, reading}, `failed` {failure}.
 */
export class Check extends EventTarget {
  state = 'idle';
  credentials = null;
  candidates = [];
  errors = [];
  samples = [];
  reading = null;
  failure = null;
  startedAt = null;

  #key;
  #source = null;
  #sender = null;
  #receiver = null;
  #timers = [];
  #over = false;
  #rate = RATE_FIRST;

  constructor(key) {
    super();
    this.#key = key;
  }

  async run() {
    this.startedAt = new Date();
    try {
      this.#enter('credentials');
      this.credentials = await fetchCredentials(this.#key);
      if (this.#over) return;
      await this.#openSource();
      if (this.#over) return;
      this.#enter('candidates');
      await this.#connect();
    } catch (error) {
      this.#fail(error instanceof Failed ? error.failure : unexpectedFailure(error));
    }
  }

  stop() {
    if (this.#over) return;
    this.#end();
    this.#enter('stopped');
  }

  /** Everything worth sending to somebody who helps; no key, no password. */
  report() {
    const last = this.samples.at(-1) ?? null;
    const received = this.samples.map((s) => s.bitrateReceived);
    return {
      product: 'forebay relay check',
      state: this.state,
      failure: this.failure && { code: this.failure.code, title: this.failure.title, detail: this.failure.detail },
      startedAt: this.startedAt?.toISOString() ?? null,
      seconds: this.samples.length,
      browser: navigator.userAgent,
      source: this.#source && { label: this.#source.label, synthetic: this.#source.synthetic },
      urls: this.credentials?.uris ?? [],
      credentialsExpireAt: this.credentials ? new Date(this.credentials.expires_at * 1000).toISOString() : null,
      candidates: this.candidates,
      candidateErrors: this.errors,
      pair: this.reading?.pair ?? null,
      codec: this.reading?.codec ?? null,
      picture: this.reading ? `${this.reading.width}x${this.reading.height}` : null,
      totals: this.reading && {
        bytesSent: this.reading.bytesSent,
        bytesReceived: this.reading.bytesReceived,
        packetsReceived: this.reading.packetsReceived,
        packetsLost: this.reading.packetsLost,
        framesDecoded: this.reading.framesDecoded,
      },
      bitrate: received.length
        ? { mean: Math.round(received.reduce((a, b) => a + b, 0) / received.length), peak: Math.round(Math.max(...received)) }
        : null,
      last,
    };
  }

  async #openSource() {
    let giveUp;
    const given = new Promise((resolve) => { giveUp = resolve; });
    const asking = setTimeout(() => this.#emit('waiting', { useTestPicture: giveUp }), 800);
    this.#timers.push(asking);
    const source = await openSource(given);
    clearTimeout(asking);
    if (this.#over) {
      source.stop();
      return;
    }
    this.#source = source;
    this.#emit('source', { source });
  }

  async #connect() {
    const configuration = { iceServers: this.credentials.iceServers, iceTransportPolicy: 'relay' };
    const sender = this.#sender = new RTCPeerConnection(configuration);
    const receiver = this.#receiver = new RTCPeerConnection(configuration);
    this.#gather('sender', sender, receiver);
    this.#gather('receiver', receiver, sender);

    const stream = new MediaStream();
    receiver.addEventListener('track', (event) => {
      stream.addTrack(event.track);
      this.#emit('received', { stream });
    });
    for (const track of this.#source.stream.getTracks()) {
      sender.addTransceiver(track, {
        direction: 'sendonly',
        streams: [this.#source.stream],
        sendEncodings: track.kind === 'video' ? [{ maxBitrate: RATE_FIRST }] : [{}],
      });
    }

    sender.addEventListener('connectionstatechange', () => this.#onConnection(sender.connectionState));
    receiver.addEventListener('connectionstatechange', () => this.#onConnection(receiver.connectionState));

    this.#timers.push(setTimeout(() => {
      if (this.candidates.length === 0) this.#fail(candidatesFailure(this.credentials.uris, this.errors));
    }, GATHER_WITHIN));
    this.#timers.push(setTimeout(() => {
      if (!['connected', 'relayed'].includes(this.state)) this.#failConnection();
    }, CONNECT_WITHIN));
    this.#timers.push(setTimeout(() => this.stop(), RUN_FOR));

    await sender.setLocalDescription();
    await receiver.setRemoteDescription(sender.localDescription);
    await receiver.setLocalDescription();
    await sender.setRemoteDescription(receiver.localDescription);
  }

  #gather(side, from, to) {
    from.addEventListener('icecandidate', ({ candidate }) => {
      if (this.#over || !candidate) return;
      if (candidate.candidate && candidate.type === 'relay') {
        this.candidates.push({
          side,
          address: candidate.address,
          port: candidate.port,
          relayProtocol: candidate.relayProtocol ?? transportOf(candidate.url),
          url: candidate.url ?? null,
        });
        this.#emit('candidate', { candidate: this.candidates.at(-1) });
      }
      // The other end may not have its description yet.
      const add = () => to.addIceCandidate(candidate).catch((error) => this.#note(side, error));
      if (to.remoteDescription) add();
      else to.addEventListener('signalingstatechange', add, { once: true });
    });
    from.addEventListener('icecandidateerror', (event) => {
      const { url, errorCode, errorText } = event;
      if (this.errors.length < 50) this.errors.push({ side, url, errorCode, errorText });
    });
    from.addEventListener('icegatheringstatechange', () => {
      if (this.#over || from.iceGatheringState !== 'complete') return;
      if (!this.candidates.some((c) => c.side === side)) {
        this.#fail(candidatesFailure(this.credentials.uris, this.errors.filter((e) => e.side === side)));
      }
    });
  }

  #note(side, error) {
    if (this.errors.length < 50) this.errors.push({ side, url: '', errorCode: 0, errorText: String(error) });
  }

  #onConnection(state) {
    if (this.#over) return;
    const both = [this.#sender, this.#receiver];
    if (state === 'failed') {
      if (this.state === 'relayed') this.#fail(lostFailure());
      else this.#failConnection();
    } else if (this.state === 'candidates' && both.every((c) => c.connectionState === 'connected')) {
      this.#enter('connected');
      this.#measure();
    }
  }

  #failConnection() {
    this.#fail(this.candidates.length === 0
      ? candidatesFailure(this.credentials.uris, this.errors)
      : connectionFailure(this.candidates));
  }

  async #measure() {
    const deadline = performance.now() + MEDIA_WITHIN;
    let before = await read(this.#sender, this.#receiver);
    const timer = setInterval(async () => {
      let now;
      try {
        now = await read(this.#sender, this.#receiver);
      } catch (error) {
        this.#fail(unexpectedFailure(error));
        return;
      }
      if (this.#over) return;
      const taken = sample(before, now);
      before = now;
      this.reading = now;
      this.samples.push(taken);
      if (this.samples.length > KEEP_SAMPLES) this.samples.shift();
      const relayed = now.pair?.local?.type === 'relay' && now.pair?.remote?.type === 'relay';
      if (this.state === 'connected' && relayed && now.framesDecoded > 0) this.#enter('relayed');
      else if (this.state === 'connected' && performance.now() > deadline) this.#fail(mediaFailure());
      this.#emit('sample', { sample: taken, reading: now });
      await this.#openUp();
    }, SAMPLE_EVERY);
    this.#timers.push(timer);
  }

  #enter(state) {
    this.state = state;
    this.#emit('state', { state });
  }

  /** Lets the video have the next higher rate. */
  async #openUp() {
    if (this.#rate >= RATE_LAST) return;
    this.#rate = Math.min(this.#rate * RATE_STEP, RATE_LAST);
    const sending = this.#sender.getSenders().find((s) => s.track?.kind === 'video');
    const parameters = sending?.getParameters();
    if (!parameters?.encodings?.length) return;
    parameters.encodings[0].maxBitrate = Math.round(this.#rate);
    // A browser that cannot change it goes on at the rate it has.
    await sending.setParameters(parameters).catch((error) => this.#note('sender', error));
  }

  #fail(failure) {
    if (this.#over) return;
    this.failure = failure;
    const step = this.state;
    this.#end();
    this.state = 'failed';
    this.#emit('failed', { failure, step });
    this.#emit('state', { state: 'failed' });
  }

  #end() {
    this.#over = true;
    for (const timer of this.#timers) {
      clearTimeout(timer);
      clearInterval(timer);
    }
    this.#sender?.close();
    this.#receiver?.close();
    this.#source?.stop();
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Of a TURN URL, for browsers whose candidates do not tell. */
function transportOf(url) {
  if (!url) return null;
  if (url.startsWith('turns:')) return 'tls';
  return /[?&]transport=(\w+)/.exec(url)?.[1] ?? 'udp';
}

async function fetchCredentials(key) {
  let response;
  try {
    response = await fetch('/v1/turn/credentials', {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'relay-check' }),
      cache: 'no-store',
    });
  } catch (error) {
    throw new Failed(credentialsFailure(0, error.message));
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Failed(credentialsFailure(response.status, body.error?.message));
  return body;
}
