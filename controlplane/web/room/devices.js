// Microphone, camera and screen.

/** @typedef {import('./access.js').Access['video']} Size */

/**
 * @param {Size} size
 * @returns {MediaTrackConstraints}
 */
export function cameraWish(size) {
  const { width, height, rate } = size && size !== 'off' ? size : { width: 1280, height: 720, rate: 30 };
  return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: rate } };
}

/** Why a device cannot be used, for people. */
export function explain(error, what) {
  switch (error?.name) {
    case 'NotAllowedError': return `The browser was not allowed to use the ${what}.`;
    case 'NotFoundError': return `No ${what} was found.`;
    case 'NotReadableError': return `The ${what} is used by another program.`;
    case 'NoInterface': return `Browsers give the ${what} to https:// and localhost only.`;
    default: return `The ${what} cannot be used${error?.message ? `: ${error.message}` : ''}.`;
  }
}

async function open(wish) {
  if (!navigator.mediaDevices?.getUserMedia) throw Object.assign(new Error(), { name: 'NoInterface' });
  return navigator.mediaDevices.getUserMedia(wish);
}

/** @returns {Promise<MediaStreamTrack>} */
export async function openMicrophone() {
  const stream = await open({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
  return stream.getAudioTracks()[0];
}

/**
 * @param {Size} size
 * @returns {Promise<MediaStreamTrack>}
 */
export async function openCamera(size) {
  const stream = await open({ video: cameraWish(size) });
  const track = stream.getVideoTracks()[0];
  track.contentHint = 'motion';
  return track;
}

/** @returns {Promise<MediaStreamTrack[]>} the picture, and its sound when the browser gives it */
export async function openScreen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
  for (const track of stream.getVideoTracks()) track.contentHint = 'detail';
  return stream.getTracks();
}
