// What happened at the provider, and what it handed out: the tests' evidence.

import { EventEmitter } from 'node:events';

export class Journal {
  constructor() {
    this.changed = new EventEmitter().setMaxListeners(0);
    this.clear();
  }

  clear() {
    this.requests = [];
    this.secrets = [];     // [kind, value]
    this.reuse = 0;        // refresh tokens that came again after they had been exchanged
    this.uses = new Map();   // refresh token -> [exchanged, refused]
  }

  /** A request has come in: written down at once, completed by its answer. */
  begin(endpoint, { method, url, headers }) {
    const at = new URL(url, 'http://journal');
    const entry = {
      endpoint,
      method,
      path: at.pathname,
      params: [...at.searchParams.keys()],
      query: [...at.searchParams.keys()],
      grant_type: null,
      status: null,
      accept: headers.accept ?? null,
      content_type: headers['content-type'] ?? null,
      authorization: headers.authorization?.split(' ')[0] ?? null,
      cookie: headers.cookie !== undefined,
      referer: headers.referer ?? null,
      user_agent: headers['user-agent'] ?? null,
    };
    this.requests.push(entry);
    this.changed.emit('changed');
    return entry;
  }

  end(entry, status) {
    entry.status = status;
    this.changed.emit('changed');
  }

  /** A refresh token was presented. With one that is exchanged once, every other time counts, before or after. */
  presented(token, exchanged) {
    const uses = this.uses.get(token) ?? [0, 0];
    const before = uses[0] ? uses[0] + uses[1] - 1 : 0;
    uses[exchanged ? 0 : 1] += 1;
    this.uses.set(token, uses);
    this.reuse += (uses[0] ? uses[0] + uses[1] - 1 : 0) - before;
  }

  secret(kind, value) {
    if (typeof value === 'string' && value && !this.secrets.some((known) => known[1] === value)) {
      this.secrets.push([kind, value]);
    }
  }

  /** Which of the access tokens that we issued is this? 0 is the first, null is none of them. */
  which(value) {
    const index = this.secrets.filter(([kind]) => kind === 'access').findIndex((known) => known[1] === value);
    return index < 0 ? null : index;
  }

  /** Resolves to true as soon as *ready* says so, to false after *seconds*. */
  until(ready, seconds) {
    return new Promise((resolve) => {
      const done = (answer) => {
        clearTimeout(timer);
        this.changed.off('changed', look);
        resolve(answer);
      };
      const look = () => { if (ready()) done(true); };
      const timer = setTimeout(() => done(false), seconds * 1000);
      this.changed.on('changed', look);
      look();
    });
  }
}
