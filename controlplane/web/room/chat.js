// Messages.

const element = (id) => document.getElementById(id);
/** Older ones go. */
const KEPT = 200;

export class Chat {
  #unread = 0;
  /** @type {import('../client/room.js').Room | null} */
  room = null;

  constructor() {
    element('chat-toggle').addEventListener('click', () => this.show(element('chat').hidden));
    element('chat').addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') {
        this.show(false);
        element('chat-toggle').focus();
      }
    });
    element('write').addEventListener('submit', async (event) => {
      event.preventDefault();
      const text = element('text').value.trim();
      if (!text || !this.room) return;
      element('text').value = '';
      try {
        await this.room.send(text);
        this.say(`${this.room.me.name} (you)`, text, true);
      } catch (error) {
        element('text').value = text;
        this.note(`Not sent: ${error.message}`);
      }
    });
  }

  show(is) {
    element('chat').hidden = !is;
    element('chat-toggle').setAttribute('aria-pressed', String(is));
    if (!is) return;
    this.#count(0);
    element('text').focus();
  }

  say(name, text, own = false) {
    const who = document.createElement('b');
    who.textContent = name;
    this.#add([who, text]);
    if (!own && element('chat').hidden) this.#count(this.#unread + 1);
  }

  /** Something that nobody said. */
  note(text) {
    this.#add([text]).className = 'note';
  }

  clear() {
    element('messages').replaceChildren();
    this.#count(0);
    this.show(false);
  }

  #add(content) {
    const line = document.createElement('li');
    line.append(...content);
    const list = element('messages');
    list.append(line);
    while (list.children.length > KEPT) list.firstChild.remove();
    list.scrollTop = list.scrollHeight;
    return line;
  }

  #count(unread) {
    this.#unread = unread;
    element('unread').hidden = unread === 0;
    element('unread').textContent = String(Math.min(unread, 99));
  }
}
