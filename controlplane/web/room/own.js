// What one sends: microphone, camera, screen.

import { explain, openCamera, openMicrophone, openScreen } from './devices.js';

/**
 * Dispatches `changed`, and `trouble` ({ text }).
 */
export class Own extends EventTarget {
  #room;
  #access;
  /** @type {Record<'microphone' | 'camera', import('../client/publisher.js').LocalTrack | null>} */
  tracks = { microphone: null, camera: null };
  /** @type {import('../client/publisher.js').LocalTrack[]} */
  screen = [];

  constructor(room, access) {
    super();
    this.#room = room;
    this.#access = access;
  }

  /** Whether it is being sent. */
  on(source) {
    const track = this.tracks[source];
    return track !== null && !track.muted;
  }

  /** @param {'microphone' | 'camera'} source */
  async toggle(source) {
    await this.turn(source, !this.on(source));
  }

  /**
   * @param {'microphone' | 'camera'} source
   * @param {boolean} on
   */
  async turn(source, on) {
    const track = this.tracks[source];
    if (track?.mutedByAdmin && on) {
      this.#trouble(`An admin has muted your ${source}.`);
      return;
    }
    try {
      if (!track && on) {
        const media = await this.#open(source);
        this.tracks[source] = this.#room.publish(media, { source });
        this.#watch(source, media);
      } else if (track && on) {
        // A camera that is off is let go of, so that its light is off too.
        if (track.media.readyState === 'ended') {
          const media = await this.#open(source);
          await track.replace(media);
          this.#watch(source, media);
        }
        await track.mute(false);
      } else if (track) {
        await track.mute(true);
        if (source === 'camera') track.media.stop();
      }
    } catch (error) {
      this.#trouble(explain(error, source));
    }
    this.dispatchEvent(new CustomEvent('changed'));
  }

  /** The server does not take it. */
  refused(track, error) {
    for (const source of ['microphone', 'camera']) if (this.tracks[source] === track) this.tracks[source] = null;
    this.screen = this.screen.filter((one) => one !== track);
    track.media.stop();
    this.#trouble(`Your ${track.source.replace('_', ' ')} is not sent: ${error.message}.`);
    this.dispatchEvent(new CustomEvent('changed'));
  }

  async share() {
    if (this.screen.length) {
      await this.unshare();
      return;
    }
    let tracks;
    try {
      tracks = await openScreen();
    } catch (error) {
      // Choosing nothing is no trouble.
      if (error.name !== 'NotAllowedError') this.#trouble(explain(error, 'screen'));
      return;
    }
    this.screen = tracks.map((media) => this.#room.publish(media, { source: media.kind === 'video' ? 'screen' : 'screen_audio' }));
    // Ended by the browser's own button.
    for (const media of tracks) media.addEventListener('ended', () => this.unshare());
    this.dispatchEvent(new CustomEvent('changed'));
  }

  async unshare() {
    const tracks = this.screen;
    this.screen = [];
    for (const track of tracks) {
      track.media.stop();
      track.unpublish().catch(() => {});
    }
    this.dispatchEvent(new CustomEvent('changed'));
  }

  stop() {
    for (const track of [this.tracks.microphone, this.tracks.camera, ...this.screen]) track?.media.stop();
  }

  #open(source) {
    return source === 'camera' ? openCamera(this.#access.video) : openMicrophone();
  }

  /** A device that is pulled out is muted for the others. */
  #watch(source, media) {
    media.addEventListener('ended', () => {
      if (this.tracks[source]?.media === media && this.on(source)) {
        this.#trouble(`The ${source} is gone.`);
        this.turn(source, false);
      }
    });
  }

  #trouble(text) {
    this.dispatchEvent(new CustomEvent('trouble', { detail: { text } }));
  }
}
