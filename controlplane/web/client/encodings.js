// What is asked of the encoders.

/** Bit rates a picture of this height is worth, per second at 30 frames. */
const WORTH = [
  { height: 1080, bitrate: 2_500_000 },
  { height: 720, bitrate: 1_500_000 },
  { height: 540, bitrate: 900_000 },
  { height: 360, bitrate: 500_000 },
  { height: 270, bitrate: 300_000 },
  { height: 180, bitrate: 150_000 },
  { height: 0, bitrate: 100_000 },
];

/** @param {number} height pixels of the shorter side */
export function bitrateFor(height) {
  return WORTH.find((step) => height >= step.height).bitrate;
}

/**
 * Encodings of a camera, lowest quality first: Chromium takes the order of
 * `sendEncodings` as that of rising quality. A picture too small to be worth
 * three is sent in two or one.
 * @param {number} width pixels
 * @param {number} height pixels
 * @returns {RTCRtpEncodingParameters[]}
 */
export function simulcast(width, height) {
  const side = Math.min(width, height);
  const count = side >= 480 ? 3 : side >= 270 ? 2 : 1;
  if (count === 1) return [{ maxBitrate: bitrateFor(side) }];
  const rids = count === 3 ? ['l', 'm', 'h'] : ['l', 'h'];
  return rids.map((rid, i) => {
    const scaleResolutionDownBy = 2 ** (count - 1 - i);
    return { rid, scaleResolutionDownBy, maxBitrate: bitrateFor(Math.round(side / scaleResolutionDownBy)) };
  });
}

/**
 * One encoding of a screen: text wants pixels, not frames.
 * @returns {RTCRtpEncodingParameters[]}
 */
export function screen() {
  return [{ maxBitrate: 2_500_000, maxFramerate: 15 }];
}

/**
 * Asks for Opus with forward error correction and without packets in silence. What
 * an encoder does is decided by what the other side says it likes to receive,
 * so it is the answer that is changed.
 * @param {string} sdp
 */
export function withOpusWishes(sdp) {
  const opus = [...sdp.matchAll(/^a=rtpmap:(\d+) opus\//gim)].map((match) => match[1]);
  return opus.reduce((text, type) => {
    const line = new RegExp(`^a=fmtp:${type} (.*)$`, 'm');
    const add = (has, wish) => (new RegExp(`(^|;)\\s*${wish.split('=')[0]}=`).test(has) ? has : `${has};${wish}`);
    if (line.test(text)) {
      return text.replace(line, (whole, has) => `a=fmtp:${type} ${add(add(has.trim(), 'useinbandfec=1'), 'usedtx=1')}`);
    }
    return text.replace(new RegExp(`^(a=rtpmap:${type} opus/.*)$`, 'im'), `$1\r\na=fmtp:${type} minptime=10;useinbandfec=1;usedtx=1`);
  }, sdp);
}
