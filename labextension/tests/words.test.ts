import { describe, expect, it } from 'vitest';

import { Api, ApiError } from '../src/api';
import type { ICard } from '../src/model';
import * as words from '../src/words';
import { json, sample, SAMPLES } from './wire';

/** English, as JupyterLab gives it without a language pack. */
const trans: words.Trans = {
  __: (text, ...values) => text.replace(/%(\d)/g, (_, nth) => String(values[Number(nth) - 1])),
};
const NOW = SAMPLES.profiles.now;

function card(name: string, facts: Partial<ICard> = {}): ICard {
  const idle = { busy: null, link: null, linkIsForSignOut: false, note: '' };
  return { ...sample(name), ...idle, problem: null, refusal: null, ...facts };
}

describe('a time', () => {
  it.each([
    [-3, '0:00'],
    [0, '0:00'],
    [59.9, '0:59'],
    [60, '1:00'],
    [299.2, '4:59'],
    [3600, '60:00'],
  ])('of %d s counts down as %s', (seconds, text) => {
    expect(words.countdown(seconds)).toBe(text);
  });

  it.each([
    [-1, 'less than a minute'],
    [59.9, 'less than a minute'],
    [60, '1 min'],
    [61, '2 min'],
    [3600, '60 min'],
    [7140, '119 min'],
    [7200, '2 h'],
    [86_400, '24 h'],
    [172_800, '2 days'],
    [2_592_000, '30 days'],
  ])('of %d s is %s', (seconds, text) => {
    expect(words.span(seconds, trans)).toBe(text);
  });
});

describe('the state line', () => {
  it.each([
    ['acme', {}, 'Signed in as Ada Lovelace'],
    ['acme', { name: '' }, 'Signed in as ada@example.com'],
    ['acme', { name: '', email: '' }, 'Signed in'],
    ['gated', {}, 'The login of Ada Lovelace waits until you confirm that it is you'],
    ['gated', { busy: 'confirm' }, 'Waiting for you: your computer asks whether it is you'],
    ['out', {}, 'Signed out'],
    ['new', {}, 'Signed out'],
    ['denied', {}, 'Signed out'],
    ['waiting', {}, 'Waiting for you in the browser'],
    ['switching', {}, 'Waiting for you in the browser'],
    [
      'expired',
      {},
      "Signed out: The login to 'expired' is over: the service no longer accepts it.",
    ],
    ['locked', {}, 'The login cannot be used: The keychain is locked.'],
    ['out', { busy: 'sign-in' }, 'Preparing the sign-in'],
    ['acme', { busy: 'sign-out' }, 'Signing out'],
    ['waiting', { busy: 'cancel' }, 'Cancelling'],
    ['waiting', { busy: 'paste' }, 'Finishing the sign-in'],
  ] as const)('of %s %j', (name, facts, text) => {
    expect(words.stateLine(card(name, facts), trans)).toBe(text);
  });

  it("does not take a service's words for a pattern", () => {
    const message = '100%1 sure';
    expect(words.stateLine(card('expired', { message }), trans)).toBe('Signed out: 100%1 sure');
  });
});

describe('the facts of a card', () => {
  it.each([
    ['acme', 'Keychain: gnome-keyring'],
    ['ends', 'Server memory: lost when the server stops'],
    ['fixed', 'Memory of this process'],
    ['locked', 'Keychain'],
    ['lent', 'JupyterHub keeps the tokens'],
    ['new', ''],
  ])('say where the key lives: %s', (name, text) => {
    expect(words.keyLine(card(name), trans)).toBe(text);
  });

  it('name a place for the key that this page has never heard of', () => {
    const elsewhere = card('acme', { key_source: 'file', key_label: 'a key file' });
    expect(words.keyLine(elsewhere, trans)).toBe('a key file');
  });

  it.each([
    ['acme', 0, '60 min left, renewed by itself'],
    ['acme', 3600, 'over, the next request renews it'],
    ['fixed', 0, '4 min left, not renewed'],
    ['fixed', 200, 'over, sign in again'],
    ['opaque', 0, 'the service does not say how long it is good'],
    ['lent', 0, 'lent and renewed by JupyterHub'],
    ['out', 0, ''],
    ['expired', 0, ''],
  ])('say how long the access token goes on: %s after %d s', (name, later, text) => {
    expect(words.accessTokenLine(card(name), NOW + later, trans)).toBe(text);
  });

  it.each([
    ['acme', 0, 'until you sign out, or the service ends it'],
    ['ends', 0, '30 min left'],
    ['ends', 1800, 'over'],
    ['fixed', 0, '4 min left'],
    ['lent', 0, 'until you log out of JupyterHub'],
    ['out', 0, ''],
  ])('say how long the login goes on: %s after %d s', (name, later, text) => {
    expect(words.loginLine(card(name), NOW + later, trans)).toBe(text);
  });
});

describe('the status bar', () => {
  it.each([
    ['acme', 0, 'Ada Lovelace · 60 min'],
    ['acme', 3600, 'Ada Lovelace'],
    ['ends', 0, 'Ada Lovelace · 30 min'],
    ['opaque', 0, 'Grace Hopper'],
    ['out', 0, 'out: signed out'],
    ['expired', 0, 'expired: sign in again'],
    ['waiting', 0, 'waiting: waiting'],
  ])('says who, and how long: %s after %d s', (name, later, text) => {
    expect(words.statusText(card(name), NOW + later, trans)).toBe(text);
  });

  it('says what it is where no profile is meant', () => {
    expect(words.statusText(null, NOW, trans)).toBe('Sign-in');
    expect(words.statusTitle(null, NOW, trans)).toBe('Click to show the sign-in panel.');
  });

  it('says more in its tooltip', () => {
    expect(words.statusTitle(card('acme'), NOW, trans).split('\n')).toEqual([
      'acme: Signed in as Ada Lovelace',
      'Access token: 60 min left, renewed by itself',
      'Click to show the sign-in panel.',
    ]);
  });
});

describe('a notification', () => {
  it('says which login is over, and why if the server knows', () => {
    expect(words.endedText(card('out'), trans)).toBe('You are signed out of out.');
    expect(words.endedText(card('expired'), trans)).toBe(sample('expired').message);
  });

  it('says when a login will be over', () => {
    expect(words.expiringText(card('fixed'), NOW, trans)).toBe(
      'Your login to fixed ends in 4 min.',
    );
  });
});

describe('a problem', () => {
  it.each([
    () => Promise.reject(new TypeError()),
    () => json({}, 404),
    () => json({}, 403),
    () => json({}),
  ])('that the page found out by itself can be translated: %#', async (answer) => {
    const error: ApiError = await new Api(async () => answer())
      .profiles()
      .then(Promise.reject, (reason) => reason);
    const { code, message, hint } = error;
    expect(words.explain(error, trans)).toEqual({ code, message, hint });
    const other = { ...trans, __: () => 'x' };
    expect(words.explain(error, other)).toEqual({ code, message: 'x', hint: 'x' });
  });

  it('of a service that asks once more can be translated', () => {
    const problem = { code: 'paste_once_more', message: '', hint: '' };
    const other = { ...trans, __: () => 'x' };
    expect(words.explain(problem, other)).toEqual({ ...problem, message: 'x', hint: 'x' });
  });

  it("of the server's is shown as the server says it", () => {
    expect(words.explain(SAMPLES.error, trans)).toEqual(SAMPLES.error);
  });
});

describe('the first nativeauth.toml', () => {
  it('has a profile to fill in, and says what each key is', () => {
    expect(words.template(trans).split('\n')).toEqual([
      '[profiles.acme]',
      "# exactly as the service's metadata names it",
      'issuer = "https://id.acme.com"',
      '# of a native (public) client; there is no secret',
      'client_id = "…"',
      '# the only origins that see the access token',
      'api = ["https://api.acme.com"]',
    ]);
  });
});
