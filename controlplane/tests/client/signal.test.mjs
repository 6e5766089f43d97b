import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Backoff } from '../../web/client/backoff.js';
import { Signal } from '../../web/client/signal.js';

/** What the client believes to be WebSockets, newest last. */
let sockets;
let signal;
let events;

class Socket {
  sent = [];
  closed = false;

  constructor(url) {
    this.url = url;
    sockets.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  says(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  breaks(code = 1006) {
    this.onclose?.({ code });
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 20));
const welcome = (id, token, type = 'joined') => ({ type, id, resume_token: token, ping_interval_s: 5, timeout_s: 15, participants: [] });

/** The newest socket, opened, with its first message answered. */
async function enter(answer) {
  await settle();
  const socket = sockets.at(-1);
  socket.onopen();
  await settle();
  socket.says(answer(socket.sent[0].id));
  await settle();
  return socket;
}

beforeEach(() => {
  sockets = [];
  events = [];
  signal = new Signal({ url: 'wss://example.org/v1/ws', token: 'T', Socket, backoff: new Backoff({ first: 4, most: 8 }) });
  signal.addEventListener('state', ({ detail }) => events.push(detail.error ? `${detail.state}:${detail.error.code}` : detail.state));
  signal.addEventListener('welcome', ({ detail }) => events.push(detail.resumed ? 'resumed' : 'joined'));
  signal.addEventListener('said', ({ detail }) => events.push(detail.type));
  signal.open();
});

afterEach(() => signal.close());

test('joins, asks and is answered', async () => {
  const socket = await enter((id) => welcome(id, 'R1'));
  assert.deepEqual(socket.sent[0], { type: 'join', id: 1, version: 1, token: 'T', auto_subscribe: true });
  const asked = signal.request('mute', { track: 'TR_1', muted: true });
  const { id } = socket.sent[1];
  socket.says({ type: 'speaker', active: null, speakers: [] });
  socket.says({ type: 'ok', id });
  assert.equal((await asked).type, 'ok');
  const refused = signal.request('kick', { participant: 'PA_1' });
  socket.says({ type: 'error', id: socket.sent[2].id, code: 'forbidden', message: 'no' });
  await assert.rejects(refused, { code: 'forbidden' });
  assert.deepEqual(events, ['joined', 'connected', 'speaker']);
});

test('resumes after a loss, and joins when that is not possible any more', async () => {
  const first = await enter((id) => welcome(id, 'R1'));
  const pending = signal.request('message', { text: 'lost' });
  first.breaks();
  await assert.rejects(pending, { code: 'lost' });
  await assert.rejects(signal.request('ping'), { code: 'lost' });
  const second = await enter((id) => welcome(id, 'R2', 'resumed'));
  assert.deepEqual(second.sent[0], { type: 'resume', id: second.sent[0].id, version: 1, resume_token: 'R1' });
  second.breaks(1001);
  const third = await enter((id) => ({ type: 'error', id, code: 'resume_failed', message: '' }));
  assert.equal(third.sent[0].resume_token, 'R2', 'the latest token');
  const fourth = await enter((id) => welcome(id, 'R3'));
  assert.equal(fourth.sent[0].type, 'join');
  assert.deepEqual(events, ['joined', 'connected', 'reconnecting', 'resumed', 'connected', 'reconnecting', 'joined', 'connected']);
});

test('keeps trying while the server is away', async () => {
  await settle();
  for (let i = 0; i < 5; i++) {
    sockets.at(-1).breaks();
    await settle();
  }
  assert(sockets.length >= 6, `${sockets.length} attempts`);
  await enter((id) => welcome(id, 'R1'));
  assert.equal(signal.state, 'connected');
});

test('gives up when the server says no', async () => {
  await enter((id) => ({ type: 'error', id, code: 'unauthorized', message: 'expired' }));
  assert.deepEqual(events, ['closed:unauthorized']);
  assert(sockets.at(-1).closed);
  await settle();
  assert.equal(sockets.length, 1);
});

test('a close that ends the stay is not undone', async () => {
  const socket = await enter((id) => welcome(id, 'R1'));
  socket.breaks(1000);
  await settle();
  assert.equal(sockets.length, 1);
  assert.equal(signal.state, 'closed');
});

test('a suspicion is acted on only after silence', async () => {
  const socket = await enter((id) => welcome(id, 'R1'));
  signal.suspect(10_000);
  assert(!socket.closed);
  await settle();
  signal.suspect(1);
  assert(socket.closed);
  await enter((id) => welcome(id, 'R2', 'resumed'));
  assert.equal(events.at(-1), 'connected');
});

test('what is not JSON is passed over', async () => {
  const socket = await enter((id) => welcome(id, 'R1'));
  socket.onmessage({ data: '{' });
  socket.says({ type: 'ok', id: 999 });
  assert.equal(signal.state, 'connected');
});
