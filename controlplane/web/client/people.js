// The others in the room and their tracks.

/** A track of somebody else. */
export class RemoteTrack {
  #room;
  #elements = new Set();
  /** @type {MediaStream | null} what elements play */
  stream = null;
  /** @type {MediaStreamTrack | null} null until it is received */
  media = null;
  /** @type {{spatial: number | null, temporal: number, why?: string} | null} what is being sent of it */
  layer = null;
  /** @type {string | null} why it cannot be had: `codec` or `limit` */
  unavailable = null;
  /** @type {import('./stats.js').TrackSample | null} */
  sample = null;

  constructor(room, participant, info) {
    this.#room = room;
    this.participant = participant;
    this.id = info.id;
    this.kind = info.kind;
    this.update(info);
  }

  /** @param {object} info TRACK of docs/signaling.md */
  update({ source, name, muted, codec, encodings }) {
    this.source = source;
    this.name = name;
    this.muted = muted;
    this.codec = codec;
    this.encodings = encodings;
  }

  /**
   * Plays it in the element. A video's element tells the server how large it is seen.
   * @template {HTMLMediaElement} E
   * @param {E} element
   */
  attach(element) {
    this.#elements.add(element);
    if (element.srcObject !== this.stream) element.srcObject = this.stream;
    if (this.stream) this.#play(element);
    if (this.kind === 'video') this.#room.watch(this.id, element);
    return element;
  }

  /** @param {HTMLMediaElement} [element] all when left out */
  detach(element) {
    for (const one of element ? [element] : [...this.#elements]) {
      this.#elements.delete(one);
      one.srcObject = null;
      this.#room.unwatch(one);
    }
  }

  subscribe() {
    return this.#room.subscribe(this, true);
  }

  unsubscribe() {
    return this.#room.subscribe(this, false);
  }

  /**
   * What is wished of it beside the size: see `layers` in docs/signaling.md.
   * @param {{max_spatial?: number, max_temporal?: number, priority?: number}} wishes
   */
  prefer(wishes) {
    return this.#room.prefer(this, wishes);
  }

  /** @param {MediaStreamTrack | null} media */
  receive(media) {
    if (this.media === media) return false;
    this.media = media;
    if (media) this.unavailable = null;
    this.stream = media ? new MediaStream([media]) : null;
    for (const element of this.#elements) {
      element.srcObject = this.stream;
      if (this.stream) this.#play(element);
    }
    return true;
  }

  #play(element) {
    element.play().catch((error) => {
      // Browsers play no sound before the first click.
      if (error.name === 'NotAllowedError') this.#room.silenced(element);
    });
  }
}

/** Somebody else. */
export class Participant {
  /** @type {Map<string, RemoteTrack>} */
  tracks = new Map();
  /** @type {string | null} */
  quality = null;
  /** @type {number | null} */
  mos = null;

  constructor({ id, identity, name }) {
    this.id = id;
    this.identity = identity;
    this.name = name || identity;
  }
}
