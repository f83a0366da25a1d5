// Where oidc-provider keeps its records: in memory, and reachable for the tests.

const GRANTED = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);

/** One store per provider; `keepSpent` makes it forget that a refresh token was used (no reuse detection). */
export function makeStore({ keepSpent }) {
  const records = new Map();

  class Adapter {
    constructor(model) { this.model = model; }

    key(id) { return `${this.model}:${id}`; }

    async upsert(id, payload) { records.set(this.key(id), payload); }

    async find(id) { return records.get(this.key(id)); }

    async #where(member, value) {
      return [...records].find(([key, one]) => key.startsWith(`${this.model}:`) && one[member] === value)?.[1];
    }

    async findByUid(uid) { return this.#where('uid', uid); }

    async findByUserCode(code) { return this.#where('userCode', code); }

    async destroy(id) { records.delete(this.key(id)); }

    async consume(id) {
      if (this.model === 'RefreshToken' && keepSpent) return;
      records.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
    }

    async revokeByGrantId(grantId) {
      for (const [key, one] of records) {
        if (GRANTED.has(key.split(':')[0]) && one.grantId === grantId) records.delete(key);
      }
    }
  }

  /** Everything of this model is past its time from now on. */
  const expire = (model) => {
    for (const [key, one] of records) {
      if (key.startsWith(`${model}:`)) one.exp = 1;
    }
  };

  return { Adapter, expire };
}
