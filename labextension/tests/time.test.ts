import { describe, expect, it, vi } from 'vitest';

import { Desk, ownTime, pass } from './desk';
import { sample, SAMPLES } from './wire';

ownTime();

const NOW = SAMPLES.profiles.now;
const IN = sample('acme');
/** Ends by itself in 200 s, and nobody renews it. */
const FIXED = sample('fixed');

describe('the clock', () => {
  it("is the server's, however wrong the browser's is", async () => {
    const desk = new Desk(IN);
    desk.server.now = () => 5_000;
    await desk.model.refresh();
    expect(desk.model.now()).toBe(5_000);
    await pass(7);
    expect(desk.model.now()).toBe(5_007);
  });
});

describe('a login that is over', () => {
  it.each(['expired', 'sealed', 'changed', 'out'])('is told once: %s', async (how) => {
    const desk = await Desk.open(IN);
    desk.server.change('acme', sample(how, { profile: 'acme' }));
    await desk.model.refresh();
    await desk.model.refresh();
    expect(desk.ended).toEqual(['acme']);
  });

  it('is told again after another sign-in', async () => {
    const desk = await Desk.open(IN);
    const over = sample('expired', { profile: 'acme' });
    desk.server.change('acme', over);
    await desk.model.refresh();
    desk.server.finish('acme');
    await desk.model.refresh();
    desk.server.change('acme', over);
    await desk.model.refresh();
    expect(desk.ended).toEqual(['acme', 'acme']);
  });

  it('is not told if it was over before this page came', async () => {
    const desk = await Desk.open(sample('expired'), sample('out'));
    await desk.model.refresh();
    expect(desk.ended).toEqual([]);
  });

  it('is not told to the person who clicked Sign out', async () => {
    const desk = await Desk.open(IN);
    await desk.model.signOut('acme');
    await desk.model.refresh();
    expect(desk.card().state).toBe('signed_out');
    expect(desk.ended).toEqual([]);
  });

  it('is not told if the list says it before the click on Sign out is answered', async () => {
    const desk = await Desk.open(IN);
    const release = desk.server.hold('POST');
    const done = desk.model.signOut('acme');
    desk.server.change('acme', { state: 'signed_out' });
    const seen = desk.model.refresh();
    release();
    await Promise.all([done, seen]);
    expect(desk.ended).toEqual([]);
  });

  it('is told if the sign-out failed and the service ends it later', async () => {
    const desk = await Desk.open(IN);
    desk.server.refusal = { code: 'store', message: 'The disk is full.', hint: '' };
    await desk.model.signOut('acme');
    desk.server.change('acme', sample('expired', { profile: 'acme' }));
    await desk.model.refresh();
    expect(desk.ended).toEqual(['acme']);
  });

  it('is not one whose key cannot be had for a while, but it may be over after that', async () => {
    const desk = await Desk.open(IN);
    desk.server.change('acme', { state: 'unavailable' });
    await desk.model.refresh();
    expect(desk.ended).toEqual([]);
    desk.server.change('acme', { state: 'expired' });
    await desk.model.refresh();
    expect(desk.ended).toEqual(['acme']);
  });

  it.each([0, 60])(
    'by its own time is seen without anybody asking (notice: %d s)',
    async (notice) => {
      const desk = await Desk.open(FIXED);
      desk.model.notifyBefore = notice;
      await pass(199);
      desk.server.requests.length = 0;
      desk.server.change('fixed', sample('unrenewed', { profile: 'fixed' }));
      // Not to the second: the server would still call it good.
      await pass(1);
      expect(desk.server.requests).toEqual([]);
      await pass(2);
      expect(desk.server.requests).toEqual(['GET profiles']);
      expect(desk.ended).toEqual(['fixed']);
    },
  );
});

describe('a login that is nearly over', () => {
  it('is told once, when so little is left', async () => {
    const desk = await Desk.open(FIXED);
    desk.model.notifyBefore = 60;
    await pass(138);
    expect(desk.expiring).toEqual([]);
    await pass(4);
    expect(desk.expiring).toEqual(['fixed']);
    await desk.model.refresh();
    desk.model.notifyBefore = 90;
    expect(desk.expiring).toEqual(['fixed']);
  });

  it('is told if the service itself ends what is renewed', async () => {
    const desk = await Desk.open(sample('ends'));
    desk.model.notifyBefore = 300;
    await pass(1498);
    expect(desk.expiring).toEqual([]);
    await pass(4);
    expect(desk.expiring).toEqual(['ends']);
  });

  it('is not told of one that renews itself, nor of a setting of 0, nor after its end', async () => {
    const renewed = await Desk.open(IN);
    renewed.model.notifyBefore = 60;
    const silent = await Desk.open(FIXED);
    const late = await Desk.open({ ...FIXED, expires_at: NOW - 1 });
    late.model.notifyBefore = 60;
    await pass(4000);
    expect([renewed, silent, late].map((desk) => desk.expiring)).toEqual([[], [], []]);
  });

  it('is told again of the next sign-in', async () => {
    const desk = await Desk.open(FIXED);
    desk.model.notifyBefore = 300;
    desk.server.change('fixed', { signed_in_at: NOW + 1, expires_at: NOW + 250 });
    await desk.model.refresh();
    expect(desk.expiring).toEqual(['fixed', 'fixed']);
  });
});

describe('requests that nobody has asked for', () => {
  it('are none while nothing is due', async () => {
    const desk = await Desk.open(IN, sample('out'), sample('expired'));
    await pass(7200);
    expect(desk.server.requests).toEqual([]);
  });

  it('are one at the end of a wait, in case no event has told it', async () => {
    const desk = await Desk.open(sample('waiting'));
    await pass(119);
    expect(desk.server.requests).toEqual([]);
    await pass(600);
    expect(desk.server.requests).toEqual(['GET profiles']);
  });

  it('are not early for what is due in a month', async () => {
    const desk = await Desk.open(sample('ends', { ends_at: NOW + 30 * 86_400 }));
    await pass(3600);
    expect(desk.server.requests).toEqual([]);
  });

  it('are none after the page is gone, and nothing is told then', async () => {
    const desk = await Desk.open(FIXED);
    let times = 0;
    desk.model.changed.connect(() => (times += 1));
    const release = desk.server.hold('GET');
    const done = desk.model.refresh();
    desk.model.dispose();
    release();
    await done;
    await desk.model.refresh();
    expect([desk.server.requests.length, times, vi.getTimerCount()]).toEqual([1, 0, 0]);
  });
});
