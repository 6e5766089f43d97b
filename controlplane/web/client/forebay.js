// Forebay's client: rooms in the browser, without dependencies.
//
//   import { join } from '/client/forebay.js';
//   const room = await join({ token });
//   room.addEventListener('track-media', ({ detail: { track } }) => track.attach(document.querySelector(track.kind)));
//   const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
//   for (const media of stream.getTracks()) room.publish(media);
//
// The protocol is docs/signaling.md.

import { Room } from './room.js';

export { ForebayError } from './errors.js';
export { LocalTrack } from './publisher.js';
export { Participant, RemoteTrack } from './people.js';
export { Room };

/**
 * Enters a room. Rejects when the server refuses; losses of the connection
 * are repaired by themselves, before and after.
 * @param {import('./room.js').JoinOptions} options
 * @returns {Promise<Room>}
 */
export function join(options) {
  return new Room(options).open();
}
