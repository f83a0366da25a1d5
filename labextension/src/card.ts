/**
 * A profile as the panel shows it: the server's facts, and what was clicked here. Pure.
 */
import type { IProblem, IProfile } from './api';

/** A profile as the panel shows it. */
export interface ICard extends IProfile {
  /** What was clicked here and is not answered yet. */
  busy: 'sign-in' | 'sign-out' | 'cancel' | 'paste' | 'confirm' | null;
  /** The way on, if the tab was blocked or lost. */
  link: string | null;
  linkIsForSignOut: boolean;
  /** What went wrong, until it is dismissed. */
  problem: IProblem | null;
  /** What was wrong with what was pasted last. */
  refusal: IProblem | null;
  /** What the last sign-out has achieved. */
  note: string;
}

/** All cards in one word: somebody is signed in, nobody is, or a person has to look. */
export type Mood = 'out' | 'in' | 'attention';

/** What this page knows of a profile beyond the server's list. */
export interface ILocal {
  busy: ICard['busy'];
  failure: { problem: IProblem; again: () => Promise<void> } | null;
  /** What was wrong with what was pasted, and for which sign-in. */
  refusal: { problem: IProblem; pending: string } | null;
  note: string;
  /** Where the browser goes on; for a sign-in, only as long as that one is pending. */
  way: { url: string; pending: string | null } | null;
  /** Whether the last that was seen of it was a good login. */
  isGood: boolean;
  /** The time of the sign-in whose end has been announced. */
  announced: number | null;
}

/** When a login ends by itself, as far as anybody knows. */
export function endOf(profile: IProfile): number | null {
  return isGood(profile) ? (profile.renews ? profile.ends_at : profile.expires_at) : null;
}

export function isGood(profile: IProfile): boolean {
  return profile.state === 'signed_in';
}

/** Whether somebody else signs people in, and lends the access token. */
export function isLent(profile: IProfile): boolean {
  return profile.key_source === 'hub';
}

/** Whether the login goes on only once somebody has confirmed that it is them. */
export function waits(profile: IProfile): boolean {
  return profile.confirm_by === 0;
}

export function needsAttention(card: ICard): boolean {
  return card.problem !== null || waits(card) || !(isGood(card) || card.state === 'signed_out');
}

export function cardOf(profile: IProfile, local: ILocal): ICard {
  const { busy, failure, note, way } = local;
  const forSignOut = way?.pending === null;
  const link = forSignOut || way?.pending === profile.pending?.id ? (way?.url ?? null) : null;
  const failed = busy === 'sign-in' ? null : profile.failed;
  const problem = failure?.problem ?? failed;
  const isOfThis = local.refusal !== null && local.refusal.pending === profile.pending?.id;
  const refusal = isOfThis ? local.refusal!.problem : null;
  return { ...profile, busy, link, linkIsForSignOut: forSignOut, problem, refusal, note };
}

/** What is left of a sign-out is of no more use. */
export function dropSignOut(local: ILocal): void {
  local.note = '';
  if (local.way?.pending === null) {
    local.way = null;
  }
}

export function problemOf(error: unknown): IProblem {
  const { code = 'error', message = String(error), hint = '' } = error as Partial<IProblem>;
  return { code, message, hint };
}
