// Ties lobby and call together.

import { join } from '../client/forebay.js';
import { mint, takeAccess } from './access.js';
import { Call } from './call.js';
import { Chat } from './chat.js';
import { Lobby } from './lobby.js';

const access = takeAccess();
const chat = new Chat();
let room = null;
let call = null;

const lobby = new Lobby(access, async ({ token, camera, microphone }) => {
  const entered = await join({ token, iceTransportPolicy: access.relay ? 'relay' : undefined });
  room = entered;
  call = new Call(entered, access, chat, (complaint) => {
    document.getElementById('invite').hidden = true;
    lobby.open(complaint);
  });
  document.getElementById('invite').hidden = !access.key;
  // The browser's question about devices must not keep anybody out.
  call.start({ camera, microphone });
});

document.getElementById('invite').addEventListener('click', async ({ currentTarget: button }) => {
  const token = await mint(access.key, room.name, 'Guest').catch(() => null);
  const link = token && `${location.origin}/room#token=${token}`;
  const copied = link && await navigator.clipboard?.writeText(link).then(() => true, () => false);
  if (link && !copied) prompt('Invitation', link);
  button.textContent = link ? 'Copied' : 'No invitation';
  setTimeout(() => { button.textContent = 'Copy invitation'; }, 1_500);
});

// For programs that drive the page.
window.forebayRoom = {
  get state() { return room?.state ?? 'lobby'; },
  get room() { return room; },
  get own() { return call?.own ?? null; },
};

addEventListener('hashchange', () => location.reload());
if (access.auto) lobby.submit();
else lobby.open();
