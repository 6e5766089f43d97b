// Reads getStats of both ends and turns two readings into a sample.

/**
 * @typedef {object} Reading
 * @property {number} at milliseconds
 * @property {number} bytesSent
 * @property {number} bytesReceived
 * @property {number} packetsReceived
 * @property {number} packetsLost
 * @property {number} framesDecoded
 * @property {?number} framesPerSecond
 * @property {?number} jitter seconds
 * @property {?number} roundTrip seconds
 * @property {?string} codec
 * @property {number} width
 * @property {number} height
 * @property {?object} pair the sender's selected candidate pair
 */

/**
 * @param {RTCPeerConnection} sender
 * @param {RTCPeerConnection} receiver
 * @returns {Promise<Reading>}
 */
export async function read(sender, receiver) {
  const [out, into] = await Promise.all([sender.getStats(), receiver.getStats()]);
  const reading = {
    at: performance.now(),
    bytesSent: 0,
    bytesReceived: 0,
    packetsReceived: 0,
    packetsLost: 0,
    framesDecoded: 0,
    framesPerSecond: null,
    jitter: null,
    roundTrip: null,
    codec: null,
    width: 0,
    height: 0,
    pair: null,
  };
  for (const entry of out.values()) {
    if (entry.type === 'outbound-rtp') reading.bytesSent += entry.bytesSent ?? 0;
  }
  for (const entry of into.values()) {
    if (entry.type !== 'inbound-rtp') continue;
    reading.bytesReceived += entry.bytesReceived ?? 0;
    reading.packetsReceived += entry.packetsReceived ?? 0;
    reading.packetsLost += entry.packetsLost ?? 0;
    if (entry.kind === 'video') {
      reading.framesDecoded = entry.framesDecoded ?? 0;
      reading.framesPerSecond = entry.framesPerSecond ?? null;
      reading.jitter = entry.jitter ?? null;
      reading.width = entry.frameWidth ?? 0;
      reading.height = entry.frameHeight ?? 0;
      reading.codec = into.get(entry.codecId)?.mimeType?.split('/')[1] ?? null;
    }
  }
  const pair = selectedPair(out);
  if (pair) {
    reading.roundTrip = pair.currentRoundTripTime ?? null;
    reading.pair = { local: candidate(out.get(pair.localCandidateId)), remote: candidate(out.get(pair.remoteCandidateId)) };
  }
  return reading;
}

function selectedPair(report) {
  for (const entry of report.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) return report.get(entry.selectedCandidatePairId);
  }
  // Firefox has no transport statistics.
  for (const entry of report.values()) {
    if (entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') return entry;
  }
  return null;
}

function candidate(entry) {
  if (!entry) return null;
  return {
    type: entry.candidateType,
    address: entry.address ?? entry.ip ?? null,
    port: entry.port ?? null,
    protocol: entry.protocol ?? null,
    relayProtocol: entry.relayProtocol ?? null,
    url: entry.url ?? null,
  };
}

/**
 * What happened between two readings.
 * @param {Reading} before
 * @param {Reading} now
 */
export function sample(before, now) {
  const seconds = Math.max((now.at - before.at) / 1000, 0.001);
  const received = Math.max(now.packetsReceived - before.packetsReceived, 0);
  // A retransmission can make the count of lost packets fall.
  const lost = Math.max(now.packetsLost - before.packetsLost, 0);
  const rate = (a, b) => Math.max(b - a, 0) * 8 / seconds;
  return {
    bitrateSent: rate(before.bytesSent, now.bytesSent),
    bitrateReceived: rate(before.bytesReceived, now.bytesReceived),
    loss: received + lost > 0 ? lost / (received + lost) : 0,
    roundTripMs: now.roundTrip === null ? null : now.roundTrip * 1000,
    jitterMs: now.jitter === null ? null : now.jitter * 1000,
    framesPerSecond: now.framesPerSecond ?? (now.framesDecoded - before.framesDecoded) / seconds,
  };
}
