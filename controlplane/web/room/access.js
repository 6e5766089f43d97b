// Where the access token comes from: the link, a form, or, for demonstrations,
// an API key that lets the page make one.

const STORED = 'forebay.room';

/**
 * @typedef {object} Access
 * @property {string} [token]
 * @property {string} [key] an API key
 * @property {string} [room]
 * @property {string} [name]
 * @property {boolean} auto enter without asking
 * @property {boolean} relay through the relay only
 * @property {{width: number, height: number, rate: number} | 'off' | null} video
 * @property {boolean} audio
 */

/**
 * Reads `#token=…` or `#key=…&room=…&name=…`; `auto`, `relay`, `audio=off`,
 * `video=off` and `video=640x360@15` may follow. Secrets leave the address bar.
 * @returns {Access}
 */
export function takeAccess() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (link.size) {
    sessionStorage.setItem(STORED, link.toString());
    history.replaceState(null, '', location.pathname + location.search);
  }
  const found = new URLSearchParams(sessionStorage.getItem(STORED) ?? '');
  const size = /^(\d+)x(\d+)(?:@(\d+))?$/.exec(found.get('video') ?? '');
  return {
    token: found.get('token') ?? undefined,
    key: found.get('key') ?? undefined,
    room: found.get('room') ?? undefined,
    name: found.get('name') ?? undefined,
    auto: found.has('auto'),
    relay: found.has('relay'),
    audio: found.get('audio') !== 'off',
    video: found.get('video') === 'off' ? 'off' : size ? { width: +size[1], height: +size[2], rate: +(size[3] ?? 30) } : null,
  };
}

/** What the token says of itself; it is the server that checks it. */
export function claims(token) {
  try {
    const part = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string} room
 * @param {string} name
 */
export async function mint(key, room, name) {
  const answer = await fetch('/v1/tokens', {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ room, identity: identity(name), name, ttl: 6 * 3600 }),
  });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error?.message ?? body.detail ?? body.title ?? `the server answered ${answer.status}`);
  return body.token;
}

/** Two people may have one name, but never one identity. */
function identity(name) {
  const plain = name.normalize('NFKD').replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 40).toLowerCase();
  const random = [...crypto.getRandomValues(new Uint8Array(4))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${plain || 'guest'}-${random}`;
}
