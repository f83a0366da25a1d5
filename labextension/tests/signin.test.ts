import { describe, expect, it } from 'vitest';

import { Desk, ownTime, pass } from './desk';
import { sample, SAMPLES } from './wire';

ownTime();

const REFUSAL = { code: 'provider_unavailable', message: 'The service is down.', hint: 'Later.' };
const DENIED = { id: 'id1', code: 'access_denied', message: 'Somebody said no.', hint: '' };
const OUT = sample('out', { profile: 'acme', ends_session: true });
const IN = sample('acme');

describe('a sign-in', () => {
  it('opens its tab in the click itself: later ones are blocked', async () => {
    const desk = await Desk.open(OUT);
    const done = desk.model.signIn('acme');
    expect(desk.tabs).toEqual(['blank']);
    expect(desk.card().busy).toBe('sign-in');
    await done;
    expect(desk.tabs).toEqual([`${SAMPLES.login.url}1`]);
    expect(desk.card()).toMatchObject({ busy: null, pending: { id: 'id1' }, problem: null });
  });

  it('is seen at once, even if the server cannot be asked again', async () => {
    const desk = await Desk.open(OUT);
    desk.model.changed.connect(() => (desk.server.isDown = desk.card().pending !== null));
    await desk.model.signIn('acme');
    expect(desk.model.problem?.code).toBe('offline');
    expect(desk.card()).toMatchObject({ pending: { id: 'id1' }, problem: null });
  });

  it('takes away what was said of the one before, in the click', async () => {
    const desk = await Desk.open(sample('denied', { profile: 'acme' }));
    const release = desk.server.hold('POST');
    const done = desk.model.signIn('acme');
    expect(desk.card()).toMatchObject({ busy: 'sign-in', problem: null });
    release();
    await done;
    expect(desk.card().problem).toBeNull();
  });

  it('offers the link as long as it is pending, whether or not there is a tab', async () => {
    const desk = await Desk.open(OUT);
    desk.blocksPopups = true;
    await desk.model.signIn('acme');
    const link = `${SAMPLES.login.url}1`;
    expect(desk.card()).toMatchObject({ link, linkIsForSignOut: false });
    await desk.model.refresh();
    expect(desk.card().link).toBe(link);
    desk.server.finish('acme');
    await desk.model.refresh();
    expect(desk.card()).toMatchObject({ state: 'signed_in', link: null });
  });

  it('that another one has replaced has no link any more', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    desk.server.change('acme', {
      pending: { id: 'another', until: desk.model.now() + 300, paste: false },
    });
    await desk.model.refresh();
    expect(desk.card()).toMatchObject({ pending: { id: 'another' }, link: null });
  });

  it('is seen after a reload of the page, and can be cancelled', async () => {
    const desk = await Desk.open(sample('waiting', { profile: 'acme' }));
    expect(desk.card()).toMatchObject({ busy: null, link: null, problem: null });
    const { id } = desk.card().pending!;
    await desk.model.cancel('acme');
    expect(desk.server.requests).toEqual([`DELETE login/${id}`, 'GET profiles']);
    expect(desk.card()).toMatchObject({ pending: null, problem: null });
  });

  it('that the server refuses closes its tab, and says why until it is dismissed', async () => {
    const desk = await Desk.open(OUT);
    desk.server.refusal = REFUSAL;
    await desk.model.signIn('acme');
    expect(desk.tabs).toEqual(['closed']);
    await desk.model.refresh();
    expect(desk.card()).toMatchObject({ busy: null, pending: null, link: null, problem: REFUSAL });
    desk.server.refusal = null;
    await desk.model.dismiss('acme');
    expect(desk.card().problem).toBeNull();
  });

  it('cannot start when the server is gone, and says so in the card', async () => {
    const desk = await Desk.open(OUT);
    desk.server.isDown = true;
    await desk.model.signIn('acme');
    expect(desk.tabs).toEqual(['closed']);
    expect(desk.card().problem?.code).toBe('offline');
  });

  it('that failed at the service is shown until it is dismissed, after a reload too', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    desk.server.fail('acme', DENIED);
    await desk.model.refresh();
    expect(desk.card()).toMatchObject({ problem: DENIED, link: null });
    await desk.model.dismiss('acme');
    expect(desk.server.requests).toContain('DELETE login/id1');
    expect(desk.card()).toMatchObject({ problem: null, failed: null });

    expect((await Desk.open(sample('denied'))).card('denied').problem?.code).toBe('access_denied');
  });

  it('is one at a time: a second click while the first is not answered does nothing', async () => {
    const desk = await Desk.open(OUT);
    const release = desk.server.hold('POST');
    const both = [desk.model.signIn('acme'), desk.model.signIn('acme'), desk.model.signOut('acme')];
    release();
    await Promise.all(both);
    expect(desk.tabs).toHaveLength(1);
    expect(desk.server.requests).toEqual(['POST login acme', 'GET profiles']);
  });

  it('with another account says so to the server, and leaves the login as it is meanwhile', async () => {
    const desk = await Desk.open(IN);
    await desk.model.signIn('acme', { switch: true });
    expect(desk.server.requests[0]).toBe('POST login acme switch');
    expect(desk.card()).toMatchObject({ state: 'signed_in', pending: { id: 'id1' } });
  });

  it('is not undone by a list that was made before it', async () => {
    const desk = await Desk.open(OUT);
    const release = desk.server.hold('GET');
    const all = [desk.model.refresh(), desk.model.signIn('acme')];
    await pass(1);
    expect(desk.card().pending?.id).toBe('id1');
    const seen: unknown[] = [];
    desk.model.changed.connect(() => seen.push(desk.card().pending?.id));
    release();
    await Promise.all(all);
    expect(seen).toEqual(['id1']);
  });
});

describe('an address that is pasted', () => {
  const ADDRESS = 'http://127.0.0.1:1/nativeauth/callback?code=c0de&state=s7ate';

  it('ends the sign-in that waits, and is kept nowhere', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme', { paste: true });
    expect(desk.server.requests[0]).toBe('POST login acme paste');
    expect(desk.card().pending).toMatchObject({ id: 'id1', paste: true });
    const done = desk.model.paste('acme', ADDRESS);
    expect(desk.card().busy).toBe('paste');
    await done;
    expect(desk.server.pasted).toEqual([ADDRESS]);
    expect(desk.card()).toMatchObject({ state: 'signed_in', pending: null, refusal: null });
  });

  it('that is another one changes nothing: what to paste stands there until the next', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    desk.server.refusal = REFUSAL;
    await desk.model.paste('acme', ADDRESS);
    expect(desk.card()).toMatchObject({ refusal: REFUSAL, problem: null, pending: { id: 'id1' } });
    const card = JSON.stringify(desk.card());
    expect(card).not.toContain('c0de');
    expect(card).not.toContain('s7ate');
    desk.server.refusal = null;
    await desk.model.paste('acme', ADDRESS);
    expect(desk.card()).toMatchObject({ state: 'signed_in', refusal: null });
  });

  it('is of no use for a sign-in that came later', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    desk.server.refusal = REFUSAL;
    await desk.model.paste('acme', ADDRESS);
    desk.server.change('acme', {
      pending: { id: 'id9', until: desk.model.now() + 9, paste: false },
    });
    await desk.model.refresh();
    expect(desk.card().refusal).toBeNull();
  });

  it('leads on once more where the service has something to ask', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme', { paste: true });
    desk.server.asksFirst = true;
    await desk.model.paste('acme', ADDRESS);
    expect(desk.card()).toMatchObject({
      link: SAMPLES.login.url,
      refusal: { code: 'paste_once_more' },
      pending: { id: 'id1' },
    });
  });

  it('goes nowhere if nothing waits', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.paste('acme', ADDRESS);
    expect(desk.server.pasted).toEqual([]);
  });
});

describe('cancelling', () => {
  it('tells the server, and takes away the wait and its link', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    await desk.model.cancel('acme');
    expect(desk.server.requests).toContain('DELETE login/id1');
    expect(desk.card()).toMatchObject({ pending: null, link: null, problem: null, busy: null });
  });

  it('is seen at once, even if the server cannot be asked again', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    desk.model.changed.connect(() => (desk.server.isDown = desk.card().pending === null));
    await desk.model.cancel('acme');
    expect(desk.model.problem?.code).toBe('offline');
    expect(desk.card()).toMatchObject({ pending: null, problem: null });
  });

  it('that does not reach the server leaves the wait and its link', async () => {
    const desk = await Desk.open(OUT);
    await desk.model.signIn('acme');
    desk.server.isDown = true;
    await desk.model.cancel('acme');
    expect(desk.card()).toMatchObject({ pending: { id: 'id1' }, problem: { code: 'offline' } });
    expect(desk.card().link).not.toBeNull();
  });
});
