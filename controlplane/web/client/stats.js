// From getStats() to what people and the server want to know.

/**
 * @typedef {object} TrackSample one track over the last interval
 * @property {string} kind
 * @property {number} bitrate bits per second
 * @property {number} packets
 * @property {number} lost
 * @property {number | null} loss share, 0–1
 * @property {number | null} jitterMs
 * @property {number | null} roundTripMs
 * @property {number} frames decoded or encoded
 * @property {number | null} framesTotal since the beginning
 * @property {number | null} framesPerSecond
 * @property {number} freezes
 * @property {number} freezeMs
 * @property {number | null} width
 * @property {number | null} height
 * @property {string | null} codec
 * @property {string | null} limited `cpu`, `bandwidth`, …: why less is sent than could be
 * @property {number} encodings that are sent
 */

/** Sound that was made up for this long breaks off; milliseconds per sample. */
const BROKEN_MS = 100;

/**
 * Counters of one track. Simulcast has several streams; they are added up and
 * the largest picture speaks for all.
 * @param {object[]} rows `inbound-rtp` or `outbound-rtp`
 * @param {Map<string, object>} all the whole report
 */
export function counters(rows, all) {
  const sum = (name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
  const largest = rows.reduce((best, row) => ((row.frameHeight ?? 0) >= (best?.frameHeight ?? 0) ? row : best), rows[0]);
  const received = rows[0].type === 'inbound-rtp';
  const remotes = rows.map((row) => all.get(row.remoteId)).filter(Boolean);
  const concealed = sum('concealedSamples') - sum('silentConcealedSamples');
  return {
    kind: rows[0].kind,
    at: Math.max(...rows.map((row) => row.timestamp)),
    bytes: received ? sum('bytesReceived') : sum('bytesSent'),
    packets: received ? sum('packetsReceived') : sum('packetsSent'),
    lost: received ? sum('packetsLost') : remotes.reduce((total, row) => total + (row.packetsLost ?? 0), 0),
    frames: received ? sum('framesDecoded') : Math.max(0, ...rows.map((row) => row.framesEncoded ?? 0)),
    keyFrames: received ? sum('keyFramesDecoded') : sum('keyFramesEncoded'),
    dropped: sum('framesDropped'),
    freezes: received && rows[0].freezeCount !== undefined ? sum('freezeCount') : null,
    freezeMs: received && rows[0].totalFreezesDuration !== undefined ? sum('totalFreezesDuration') * 1000 : null,
    concealedMs: rows[0].kind === 'audio' && received ? concealed / 48 : 0,
    nacks: sum('nackCount'),
    plis: sum('pliCount'),
    jitterMs: jitter(received ? rows : remotes),
    roundTripMs: remotes.find((row) => row.roundTripTime !== undefined)?.roundTripTime * 1000 || null,
    framesPerSecond: largest.framesPerSecond ?? null,
    width: largest.frameWidth ?? null,
    height: largest.frameHeight ?? null,
    codec: all.get(largest.codecId)?.mimeType?.split('/')[1] ?? null,
    limited: rows.map((row) => row.qualityLimitationReason).find((reason) => reason && reason !== 'none') ?? null,
    active: rows.filter((row) => (row.bytesSent ?? row.bytesReceived ?? 0) > 0).map((row) => row.rid ?? ''),
  };
}

function jitter(rows) {
  const known = rows.map((row) => row.jitter).filter((value) => value !== undefined);
  return known.length ? Math.max(...known) * 1000 : null;
}

/**
 * @param {ReturnType<typeof counters> | undefined} before
 * @param {ReturnType<typeof counters>} now
 * @param {boolean} expected whether pictures should have come
 * @returns {TrackSample}
 */
export function difference(before, now, expected = true) {
  // Counters start anew with a new connection.
  const from = before && before.bytes <= now.bytes && before.packets <= now.packets ? before : null;
  const seconds = from ? Math.max((now.at - from.at) / 1000, 0.001) : 0;
  const grown = (name) => (from ? Math.max(0, now[name] - from[name]) : 0);
  const packets = grown('packets');
  const lost = grown('lost');
  let freezes = 0;
  let freezeMs = 0;
  if (now.kind === 'audio') {
    const broken = grown('concealedMs');
    if (broken >= BROKEN_MS) {
      freezes = 1;
      freezeMs = broken;
    }
  } else if (now.freezes !== null) {
    freezes = grown('freezes');
    freezeMs = now.freezeMs !== null ? grown('freezeMs') : 0;
  }
  // The browser counts a freeze when the next picture comes; one that does not come has to be seen here.
  if (now.kind === 'video' && from && expected && from.frames > 0 && grown('frames') === 0 && freezes === 0) {
    freezes = 1;
    freezeMs = seconds * 1000;
  }
  return {
    kind: now.kind,
    bitrate: seconds ? (8 * grown('bytes')) / seconds : 0,
    packets,
    lost,
    loss: packets + lost ? lost / (packets + lost) : null,
    jitterMs: now.jitterMs,
    roundTripMs: now.roundTripMs,
    frames: grown('frames'),
    framesTotal: now.frames,
    framesPerSecond: seconds ? grown('frames') / seconds : now.framesPerSecond,
    freezes,
    freezeMs: Math.round(freezeMs),
    width: now.width,
    height: now.height,
    codec: now.codec,
    limited: now.limited,
    encodings: now.active.length,
  };
}

/**
 * The pair in use: round trip and the estimates of both ways.
 * @param {Map<string, object>} all
 */
export function path(all) {
  const rows = [...all.values()];
  const transport = rows.find((row) => row.type === 'transport' && row.selectedCandidatePairId);
  const pair = all.get(transport?.selectedCandidatePairId)
    ?? rows.find((row) => row.type === 'candidate-pair' && row.nominated && row.state === 'succeeded');
  if (!pair) return null;
  return {
    roundTripMs: pair.currentRoundTripTime !== undefined ? pair.currentRoundTripTime * 1000 : null,
    outgoing: pair.availableOutgoingBitrate ?? null,
    local: all.get(pair.localCandidateId)?.candidateType ?? null,
    protocol: all.get(pair.localCandidateId)?.protocol ?? null,
    cipher: transport?.srtpCipher ?? null,
    dtls: transport?.tlsVersion ?? null,
  };
}

/** Adds the seen up until the server is told. */
export class Report {
  /** @type {Map<string, {freezes: number, freeze_ms: number, frames: number, width: number, height: number}>} */
  #tracks = new Map();

  /**
   * @param {string} track
   * @param {TrackSample} sample
   */
  add(track, sample) {
    const seen = this.#tracks.get(track) ?? { freezes: 0, freeze_ms: 0, frames: 0, width: 0, height: 0 };
    seen.freezes += sample.freezes;
    seen.freeze_ms += sample.freezeMs;
    seen.frames += sample.frames;
    seen.width = sample.width ?? 0;
    seen.height = sample.height ?? 0;
    this.#tracks.set(track, seen);
  }

  /** What was added since the last time, for the message `stats`. */
  take() {
    const tracks = [...this.#tracks].map(([track, seen]) => ({ track, ...seen }));
    this.#tracks.clear();
    return tracks;
  }
}
