/**
 * What a person reads, in sentences. Pure: facts in, words out.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IProblem } from './api';
import { endOf, type ICard, isLent, type Mood, waits } from './card';

/** What is asked of a translation. */
export type Trans = Pick<TranslationBundle, '__'>;

/** `4:59`, for a countdown. */
export function countdown(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** How long, roughly: words that change each second are hard to read. */
export function span(seconds: number, trans: Trans): string {
  if (seconds < 60) {
    return trans.__('less than a minute');
  }
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 120) {
    return trans.__('%1 min', minutes);
  }
  const hours = Math.round(seconds / 3600);
  return hours < 48 ? trans.__('%1 h', hours) : trans.__('%1 days', Math.round(hours / 24));
}

/** How the card stands, in a line. */
export function stateLine(card: ICard, trans: Trans): string {
  switch (card.busy) {
    case 'sign-in':
      return trans.__('Preparing the sign-in');
    case 'sign-out':
      return trans.__('Signing out');
    case 'cancel':
      return trans.__('Cancelling');
    case 'paste':
      return trans.__('Finishing the sign-in');
    case 'confirm':
      return trans.__('Waiting for you: your computer asks whether it is you');
  }
  if (card.pending) {
    return trans.__('Waiting for you in the browser');
  }
  switch (card.state) {
    case 'signed_in':
      return whoLine(card, trans);
    case 'signed_out':
      return trans.__('Signed out');
    case 'unavailable':
      return trans.__('The login cannot be used: %1', card.message);
    default:
      return trans.__('Signed out: %1', card.message);
  }
}

/** Where the key lives; empty if there is none yet. */
export function keyLine(card: ICard, trans: Trans): string {
  switch (card.key_source) {
    case 'keychain':
      return card.key_label ? trans.__('Keychain: %1', card.key_label) : trans.__('Keychain');
    case 'server':
      return trans.__('Server memory: lost when the server stops');
    case 'process':
      return trans.__('Memory of this process');
    case 'hub':
      return trans.__('JupyterHub keeps the tokens');
    default:
      return card.key_label;
  }
}

/** How long the access token goes on; empty if nobody is signed in. */
export function accessTokenLine(card: ICard, now: number, trans: Trans): string {
  if (card.state !== 'signed_in') {
    return '';
  }
  if (isLent(card)) {
    return trans.__('lent and renewed by JupyterHub');
  }
  if (card.expires_at === null) {
    return trans.__('the service does not say how long it is good');
  }
  const left = card.expires_at - now;
  if (left > 0) {
    return card.renews
      ? trans.__('%1 left, renewed by itself', span(left, trans))
      : trans.__('%1 left, not renewed', span(left, trans));
  }
  return card.renews
    ? trans.__('over, the next request renews it')
    : trans.__('over, sign in again');
}

/** How long the login itself goes on; empty if nobody is signed in. */
export function loginLine(card: ICard, now: number, trans: Trans): string {
  if (card.state !== 'signed_in') {
    return '';
  }
  const end = endOf(card);
  if (end !== null) {
    return end > now ? trans.__('%1 left', span(end - now, trans)) : trans.__('over');
  }
  return isLent(card)
    ? trans.__('until you log out of JupyterHub')
    : trans.__('until you sign out, or the service ends it');
}

/** The status bar: who, and how long. */
export function statusText(card: ICard | null, now: number, trans: Trans): string {
  if (!card) {
    return trans.__('Sign-in');
  }
  if (card.pending) {
    return trans.__('%1: waiting', card.profile);
  }
  if (waits(card)) {
    return trans.__('%1: confirm that it is you', card.profile);
  }
  if (card.state === 'signed_in') {
    const left = (endOf(card) ?? card.expires_at ?? now) - now;
    const who = card.name || card.profile;
    return left > 0 ? `${who} · ${span(left, trans)}` : who;
  }
  return card.state === 'signed_out'
    ? trans.__('%1: signed out', card.profile)
    : trans.__('%1: sign in again', card.profile);
}

/** The same in whole sentences, for its tooltip. */
export function statusTitle(card: ICard | null, now: number, trans: Trans): string {
  const open = trans.__('Click to show the sign-in panel.');
  if (!card) {
    return open;
  }
  const token = accessTokenLine(card, now, trans);
  return [
    `${card.profile}: ${stateLine(card, trans)}`,
    ...(token ? [trans.__('Access token: %1', token)] : []),
    open,
  ].join('\n');
}

/** The caption of the sidebar's icon. */
export function moodCaption(mood: Mood, trans: Trans): string {
  switch (mood) {
    case 'in':
      return trans.__('Sign-in: signed in');
    case 'out':
      return trans.__('Sign-in: signed out');
    case 'attention':
      return trans.__('Sign-in: needs your attention');
  }
}

/** The notification when a login is over. */
export function endedText(card: ICard, trans: Trans): string {
  return card.message || trans.__('You are signed out of %1.', card.profile);
}

/** The notification when a login will soon be over. */
export function expiringText(card: ICard, now: number, trans: Trans): string {
  const left = Math.max(0, (endOf(card) ?? now) - now);
  return trans.__('Your login to %1 ends in %2.', card.profile, span(left, trans));
}

/** A problem in the reader's language: what the browser found out by itself is translated here. */
export function explain({ code, message, hint }: IProblem, trans: Trans): IProblem {
  switch (code) {
    case 'offline':
      message = trans.__('The Jupyter server does not answer.');
      hint = trans.__('Check your network, and whether Jupyter is still running.');
      break;
    case 'not_installed':
      message = trans.__('The Jupyter server does not know jupyter_nativeauth.');
      hint = trans.__(
        'Install it in the environment of the Jupyter server, and restart the server.',
      );
      break;
    case 'forbidden':
      message = trans.__('You are not signed in to Jupyter any more, or may not do this.');
      hint = trans.__('Reload this page.');
      break;
    case 'bad_answer':
      message = trans.__('The Jupyter server gave an answer that cannot be read.');
      hint = trans.__('Reload this page. If that does not help, look at the log of the server.');
      break;
    case 'paste_once_more':
      message = trans.__('The service wants to ask something first.');
      hint = trans.__('Open the sign-in page once more.');
      break;
  }
  return { code, message, hint };
}

/** The lines of a first nativeauth.toml. */
export function template(trans: Trans): string {
  return `[profiles.acme]
# ${trans.__("exactly as the service's metadata names it")}
issuer = "https://id.acme.com"
# ${trans.__('of a native (public) client; there is no secret')}
client_id = "…"
# ${trans.__('the only origins that see the access token')}
api = ["https://api.acme.com"]`;
}

function whoLine(card: ICard, trans: Trans): string {
  const who = card.name || card.email;
  if (waits(card)) {
    return trans.__('The login of %1 waits until you confirm that it is you', who || card.profile);
  }
  return who ? trans.__('Signed in as %1', who) : trans.__('Signed in');
}
