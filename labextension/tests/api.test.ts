import { describe, expect, it } from 'vitest';

import { Api, ApiError, EVENT_SCHEMA } from '../src/api';
import { json, sample, SAMPLES } from './wire';

/** An Api whose server answers so, and what it was asked. */
function answering(answer: () => Response | Promise<Response>) {
  const asked: { path: string; init: RequestInit }[] = [];
  const api = new Api(async (path, init) => {
    asked.push({ path, init });
    return answer();
  });
  return { api, asked };
}

async function errorOf(promise: Promise<unknown>): Promise<ApiError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

describe('the samples of the wire', () => {
  it('are believed, and handed on as they are', async () => {
    expect(await answering(() => json(SAMPLES.profiles)).api.profiles()).toEqual(SAMPLES.profiles);
    expect(await answering(() => json(SAMPLES.login)).api.login('acme')).toEqual(SAMPLES.login);
    expect(await answering(() => json(SAMPLES.logout)).api.logout('acme')).toEqual(SAMPLES.logout);
    const { confirm } = SAMPLES;
    expect(await answering(() => json(confirm)).api.confirm('acme')).toEqual(confirm);
    expect(await answering(() => json(SAMPLES.cancel)).api.cancel('1')).toBe(true);
    expect(await answering(() => json(SAMPLES.paste)).api.paste('1', 'x')).toEqual(SAMPLES.paste);
  });

  it('hold every state', () => {
    const states = new Set(SAMPLES.profiles.profiles.map((profile) => profile.state));
    expect([...states].sort()).toEqual([
      'damaged',
      'expired',
      'no_refresh_token',
      'other_key',
      'profile_changed',
      'refused',
      'signed_in',
      'signed_out',
      'unavailable',
    ]);
  });

  it('name the event that the page listens to', () => {
    expect(SAMPLES.event.schema_id).toBe(EVENT_SCHEMA);
  });

  it('hold an error, which keeps its code, its sentence and its hint', async () => {
    const error = await errorOf(answering(() => json(SAMPLES.error, 400)).api.profiles());
    expect({ ...SAMPLES.error }).toEqual({
      code: error.code,
      message: error.message,
      hint: error.hint,
    });
  });
});

describe('a request', () => {
  it('goes to its route, with its method and its body', async () => {
    const list = answering(() => json(SAMPLES.profiles));
    await list.api.profiles();
    expect(list.asked[0]).toMatchObject({
      path: 'nativeauth/api/profiles',
      init: { method: 'GET' },
    });
    expect(list.asked[0]!.init.body).toBeUndefined();

    const login = answering(() => json(SAMPLES.login));
    await login.api.login('acme');
    await login.api.login('acme', { switch: true });
    expect(login.asked.map(({ path, init }) => [init.method, path, init.body])).toEqual([
      ['POST', 'nativeauth/api/login', '{"profile":"acme","switch":false}'],
      ['POST', 'nativeauth/api/login', '{"profile":"acme","switch":true}'],
    ]);

    const logout = answering(() => json(SAMPLES.logout));
    await logout.api.logout('acme');
    expect(logout.asked[0]).toMatchObject({
      path: 'nativeauth/api/logout',
      init: { method: 'POST', body: '{"profile":"acme"}' },
    });
  });

  it('cannot be led to another route by an id', async () => {
    const { api, asked } = answering(() => json(SAMPLES.cancel));
    await api.cancel('../logout?x');
    expect(asked[0]).toMatchObject({
      path: 'nativeauth/api/login/..%2Flogout%3Fx',
      init: { method: 'DELETE' },
    });
  });

  it('is given up some day, so that one lost answer does not stop everything after it', async () => {
    const { api, asked } = answering(() => json(SAMPLES.profiles));
    await api.profiles();
    expect(asked[0]!.init.signal).toBeInstanceOf(AbortSignal);
  });
});

describe('an answer that is not what it should be', () => {
  const html = '<!doctype html><title>Sign in to the proxy</title>';

  it.each([
    ['a login page of a proxy', () => new Response(html), 'bad_answer'],
    ['nothing', () => new Response(''), 'bad_answer'],
    ['null', () => json(null), 'bad_answer'],
    ['a list', () => json([]), 'bad_answer'],
    ['an error page', () => new Response(html, { status: 500 }), 'bad_answer'],
    ['an error that is called a success', () => json(SAMPLES.error), 'bad_answer'],
    ['a success that is called an error', () => json(SAMPLES.profiles, 500), 'bad_answer'],
    ['an error without a hint', () => json({ code: 'x', message: 'x' }, 400), 'bad_answer'],
    ['a gateway whose server has stopped', () => new Response(html, { status: 503 }), 'offline'],
    ['a hub whose server has stopped', () => json({ message: 'x' }, 424), 'offline'],
    ['a server without the extension', () => json({ message: 'x' }, 404), 'not_installed'],
    ['a sign-in to Jupyter that is over', () => json({ message: 'x' }, 403), 'forbidden'],
  ])('%s', async (_, answer, code) => {
    const error = await errorOf(answering(answer).api.profiles());
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/\w\.$/);
    expect(error.hint).toMatch(/\w\.$/);
  });

  it('a connection that fails is "offline", and so is one that fails within the answer', async () => {
    const down = answering(() => Promise.reject(new TypeError('Failed to fetch')));
    const broken = new ReadableStream({ start: (it) => it.error(new TypeError('network error')) });
    for (const { api } of [down, answering(() => new Response(broken))]) {
      const error = await errorOf(api.profiles());
      expect(error.code).toBe('offline');
      expect(error.hint).not.toBe('');
    }
  });

  const members = Object.keys(sample('acme'));
  it.each(members)('a profile without %s', async (member) => {
    const { [member]: _, ...rest } = { ...sample('acme') } as Record<string, unknown>;
    const { api } = answering(() => json({ ...SAMPLES.profiles, profiles: [rest] }));
    expect((await errorOf(api.profiles())).code).toBe('bad_answer');
  });

  it.each([
    ['state', 'on_fire'],
    ['expires_at', '1790003600'],
    ['default', 'yes'],
    ['scopes', 'openid'],
    ['api', [1]],
    ['pending', { id: 'a' }],
    ['failed', { id: 'a', code: 'timeout' }],
  ])('a profile whose %s is %j', async (member, value) => {
    const profile = { ...sample('acme'), [member]: value };
    const { api } = answering(() => json({ ...SAMPLES.profiles, profiles: [profile] }));
    expect((await errorOf(api.profiles())).code).toBe('bad_answer');
  });

  it.each([
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    '/nativeauth/go/x',
    'http:',
    'http://',
    ' javascript:alert(1)//http://',
    '',
    null,
    7,
  ])('an address that no browser may be sent to: %j', async (url) => {
    const login = answering(() => json({ ...SAMPLES.login, url })).api.login('acme');
    expect((await errorOf(login)).code).toBe('bad_answer');
    if (url !== null) {
      const logout = answering(() => json({ ...SAMPLES.logout, url })).api.logout('acme');
      expect((await errorOf(logout)).code).toBe('bad_answer');
      const paste = answering(() => json({ ...SAMPLES.paste, url })).api.paste('1', 'x');
      expect((await errorOf(paste)).code).toBe('bad_answer');
    }
  });

  it('a sign-out has no address if there is nothing to end at the service', async () => {
    const { api } = answering(() => json({ ...SAMPLES.logout, url: null, revoked: null }));
    expect(await api.logout('acme')).toMatchObject({ url: null, revoked: null });
  });
});
