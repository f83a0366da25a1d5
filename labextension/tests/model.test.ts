import { describe, expect, it } from 'vitest';

import { Desk, ownTime } from './desk';
import { sample, SAMPLES } from './wire';

ownTime();

const OUT = sample('out', { profile: 'acme' });
const IN = sample('acme');

describe('the list', () => {
  it('is not loaded at first, and then holds a card for each profile', async () => {
    const { model } = new Desk(IN, sample('out'));
    expect([model.isLoaded, model.config, model.cards]).toEqual([false, null, []]);
    await model.refresh();
    expect([model.isLoaded, model.config]).toEqual([true, SAMPLES.profiles.config]);
    expect(model.cards).toMatchObject([IN, sample('out')]);
  });

  it('is asked for once at a time, and once more for all who ask meanwhile', async () => {
    const { model, server } = new Desk(IN);
    const release = server.hold('GET');
    const all = Promise.all([model.refresh(), model.refresh(), model.refresh()]);
    expect(server.requests).toHaveLength(1);
    release();
    await all;
    expect(server.requests).toHaveLength(2);
  });

  it('is asked for again when one asks who has just been answered', async () => {
    const { model, server } = await Desk.open(IN);
    let asked = false;
    model.changed.connect(() => {
      if (!asked) {
        asked = true;
        void model.refresh();
      }
    });
    await model.refresh();
    await model.refresh();
    expect(server.requests).toHaveLength(3);
  });

  it('that cannot be had is a problem, and the last one stays, until it can be had', async () => {
    const { model, server } = await Desk.open(IN);
    server.isDown = true;
    await model.refresh();
    expect(model.problem?.code).toBe('offline');
    expect(model.problem?.hint).not.toBe('');
    expect(model.cards).toHaveLength(1);
    server.isDown = false;
    await model.refresh();
    expect(model.problem).toBeNull();
  });
});

describe('the current profile', () => {
  it("is the setting's, else the server's default, else the only one, else none", async () => {
    const { model } = await Desk.open(sample('out'), IN);
    expect(model.current?.profile).toBe('acme');
    model.defaultProfile = 'out';
    expect(model.current?.profile).toBe('out');
    model.defaultProfile = 'gone';
    expect(model.current?.profile).toBe('acme');
    expect((await Desk.open(sample('out'))).model.current?.profile).toBe('out');
    expect((await Desk.open(sample('out'), sample('new'))).model.current).toBeNull();
    expect((await Desk.open()).model.current).toBeNull();
  });

  it('is told to whoever listens when the setting changes', async () => {
    const { model } = await Desk.open(IN);
    let times = 0;
    model.changed.connect(() => (times += 1));
    model.defaultProfile = 'acme';
    expect(times).toBe(1);
  });
});

describe('the mood', () => {
  it('is "in" if anybody is signed in, else "out"', async () => {
    expect((await Desk.open()).model.mood).toBe('out');
    expect((await Desk.open(OUT)).model.mood).toBe('out');
    expect((await Desk.open(OUT, sample('ends'))).model.mood).toBe('in');
    expect((await Desk.open(sample('waiting'))).model.mood).toBe('out');
  });

  it.each(SAMPLES.profiles.profiles.map(({ profile, state }) => [profile, state]))(
    'is "attention" for what needs it: %s (%s)',
    async (name, state) => {
      const { model } = await Desk.open(sample(name!));
      const calm =
        ['signed_in', 'signed_out'].includes(state!) && !sample(name!).failed && name !== 'gated';
      expect(model.mood === 'attention').toBe(!calm);
    },
  );

  it('is "attention" while the list cannot be had', async () => {
    const { model, server } = await Desk.open(IN);
    server.isDown = true;
    await model.refresh();
    expect(model.mood).toBe('attention');
  });
});
