import { describe, expect, it } from 'vitest';

import { Desk, ownTime, pass } from './desk';
import { sample, SAMPLES } from './wire';

ownTime();

const REFUSAL = { code: 'provider_unavailable', message: 'The service is down.', hint: 'Later.' };
const DENIED = { id: 'id1', code: 'access_denied', message: 'Somebody said no.', hint: '' };
const IN = sample('acme');

describe('confirming that it is you', () => {
  const GATED = sample('gated', { profile: 'acme' });

  it('lets the login go on, and needs no tab', async () => {
    const desk = await Desk.open(GATED);
    expect(desk.model.mood).toBe('attention');
    await desk.model.confirm('acme');
    expect(desk.server.requests).toEqual(['POST confirm acme', 'GET profiles']);
    expect(desk.tabs).toEqual([]);
    expect(desk.model.mood).toBe('in');
  });

  it('that was refused says why, waits on, and can be tried again', async () => {
    const desk = await Desk.open(GATED);
    desk.server.refusal = { code: 'presence_denied', message: 'It was not confirmed.', hint: '' };
    await desk.model.confirm('acme');
    expect(desk.card()).toMatchObject({ confirm_by: 0, problem: desk.server.refusal });
    desk.server.refusal = null;
    await desk.model.retry('acme');
    expect(desk.card().problem).toBeNull();
    expect(desk.model.mood).toBe('in');
  });

  it('is seen to be due when its hour is over', async () => {
    const desk = await Desk.open(GATED);
    await desk.model.confirm('acme');
    desk.server.change('acme', { confirm_by: 0 });
    await pass(3599);
    expect(desk.model.mood).toBe('in');
    await pass(3);
    expect(desk.model.mood).toBe('attention');
  });
});

describe('a sign-out', () => {
  it('sends the tab of its click to the page that ends the session at the service', async () => {
    const desk = await Desk.open(IN);
    const done = desk.model.signOut('acme');
    expect(desk.tabs).toEqual(['blank']);
    await done;
    expect(desk.tabs).toEqual([SAMPLES.logout.url]);
    const { message } = SAMPLES.logout;
    expect(desk.card()).toMatchObject({ state: 'signed_out', note: message, link: null });
  });

  it('opens no tab if the service has no such page', async () => {
    const desk = await Desk.open({ ...IN, ends_session: false });
    await desk.model.signOut('acme');
    expect(desk.tabs).toEqual([]);
    expect(desk.card()).toMatchObject({ state: 'signed_out', link: null });
  });

  it('closes its tab if there turns out to be nothing to end', async () => {
    const desk = await Desk.open(IN);
    desk.server.change('acme', { ends_session: false });
    await desk.model.signOut('acme');
    expect(desk.tabs).toEqual(['closed']);
  });

  it('whose tab was blocked offers a link instead, until it is dismissed', async () => {
    const desk = await Desk.open(IN);
    desk.blocksPopups = true;
    await desk.model.signOut('acme');
    expect(desk.card()).toMatchObject({ link: SAMPLES.logout.url, linkIsForSignOut: true });
    await desk.model.dismiss('acme');
    expect(desk.card()).toMatchObject({ link: null, linkIsForSignOut: false, note: '' });
  });

  it('is seen at once, even if the server cannot be asked again', async () => {
    const desk = await Desk.open(IN);
    desk.model.changed.connect(() => (desk.server.isDown = desk.card().state === 'signed_out'));
    await desk.model.signOut('acme');
    expect(desk.model.problem?.code).toBe('offline');
    expect(desk.card()).toMatchObject({ state: 'signed_out', problem: null });
  });

  it('that fails closes its tab, leaves the login, and says why', async () => {
    const desk = await Desk.open(IN);
    desk.server.refusal = REFUSAL;
    await desk.model.signOut('acme');
    expect(desk.tabs).toEqual(['closed']);
    expect(desk.card()).toMatchObject({ state: 'signed_in', problem: REFUSAL, note: '' });
  });

  it('leaves no word behind when somebody wants to sign in again', async () => {
    const desk = await Desk.open(IN);
    desk.blocksPopups = true;
    await desk.model.signOut('acme');
    desk.server.refusal = REFUSAL;
    await desk.model.signIn('acme');
    expect(desk.card()).toMatchObject({ note: '', link: null });
  });

  it('leaves no word behind when somebody has signed in again, wherever', async () => {
    const desk = await Desk.open(IN);
    desk.blocksPopups = true;
    await desk.model.signOut('acme');
    desk.server.finish('acme');
    await desk.model.refresh();
    expect(desk.card()).toMatchObject({ state: 'signed_in', note: '', link: null });
  });
});

describe('trying again', () => {
  it('does what has failed, in a tab of its own', async () => {
    for (const act of ['signIn', 'signOut'] as const) {
      const desk = await Desk.open(IN);
      desk.server.refusal = REFUSAL;
      await desk.model[act]('acme');
      desk.server.refusal = null;
      const done = desk.model.retry('acme');
      expect(desk.tabs).toEqual(['closed', 'blank']);
      await done;
      const route = act === 'signIn' ? 'POST login acme' : 'POST logout acme';
      expect(desk.server.requests.filter((request) => request === route)).toHaveLength(2);
      expect(desk.card().problem).toBeNull();
    }
  });

  it('asks for another account again, if that is what failed', async () => {
    const desk = await Desk.open(IN);
    await desk.model.signIn('acme', { switch: true });
    desk.server.fail('acme', DENIED);
    await desk.model.refresh();
    await desk.model.retry('acme');
    const logins = desk.server.requests.filter((request) => request.startsWith('POST'));
    expect(logins).toEqual(['POST login acme switch', 'POST login acme switch']);
  });

  it('is an ordinary sign-in where nobody is signed in', async () => {
    const desk = await Desk.open(sample('denied'));
    await desk.model.retry('denied');
    expect(desk.server.requests[0]).toBe('POST login denied');
    expect(desk.card('denied').problem).toBeNull();
  });
});
