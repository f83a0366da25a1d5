/**
 * The server's routes: one typed function each. The only file that knows a URL.
 *
 * Every answer is checked before it is believed: a proxy or a login page may answer in the server's place.
 */

export const EVENT_SCHEMA = 'https://events.jupyter.org/jupyter_nativeauth/session/v1';

const STATES = [
  'signed_in',
  'signed_out',
  'expired',
  'refused',
  'no_refresh_token',
  'profile_changed',
  'other_key',
  'damaged',
  'unavailable',
] as const;

/** How a profile stands. All but the first two need the person's attention. */
export type State = (typeof STATES)[number];

/** What went wrong, in words: `message` says what, `hint` what to do (it may be empty). */
export interface IProblem {
  code: string;
  message: string;
  hint: string;
}

/** A sign-in under way at this server. */
export interface IPending {
  id: string;
  until: number;
  /** Whether its browser is not expected to come back by itself: the address that it ends on is pasted. */
  paste: boolean;
}

/** How the last sign-in at this server failed. */
export interface IFailure extends IProblem {
  id: string;
}

/** A profile and its login. Times are seconds since the epoch, by the server's clock. */
export interface IProfile {
  profile: string;
  default: boolean;
  service: string;
  issuer: string;
  api: string[];
  state: State;
  name: string;
  email: string;
  scopes: string[];
  signed_in_at: number | null;
  /** The end of the access token. */
  expires_at: number | null;
  /** The end of the login itself, if the service says so. */
  ends_at: number | null;
  renews: boolean;
  key_source: string;
  key_label: string;
  message: string;
  hint: string;
  /** Whether a sign-out goes on in the browser. */
  ends_session: boolean;
  /** When somebody has to confirm again that it is them; 0: now, the login waits. `null`: never. */
  confirm_by: number | null;
  pending: IPending | null;
  failed: IFailure | null;
}

export interface IProfiles {
  now: number;
  config: { file: string; redirect_uris: string[] };
  profiles: IProfile[];
}

/** How a sign-in is to begin. */
export interface ISignIn {
  switch?: boolean;
  paste?: boolean;
}

/** A sign-in that has begun: `url` is to be opened in the browser, `until` is how long the server waits. */
export interface IStarted extends IPending {
  url: string;
}

/** What was pasted was the answer; `url` is where the browser goes once more, if the service wants to ask something. */
export interface IPasted {
  accepted: boolean;
  url: string | null;
}

/** Somebody has confirmed that it is them; that is good until `confirm_by`. */
export type IConfirmed = Pick<IProfile, 'profile' | 'confirm_by'>;

/** What a sign-out has achieved; `url` is where the browser goes to end the service's own session. */
export interface ILoggedOut {
  profile: string;
  local: boolean;
  revoked: boolean | null;
  message: string;
  url: string | null;
}

/** The one error of this file. `offline`, `not_installed`, `forbidden` and `bad_answer` are its own codes. */
export class ApiError extends Error implements IProblem {
  constructor(
    readonly code: string,
    message: string,
    readonly hint = '',
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** Sends a request; `path` is relative to Jupyter's base URL. */
export type Request = (path: string, init: RequestInit) => Promise<Response>;

export class Api {
  constructor(private readonly _request: Request) {}

  /** Every profile, as it stands now. */
  profiles(): Promise<IProfiles> {
    return this._ask(isProfiles, 'GET', 'profiles');
  }

  /**
   * Start a sign-in; a pending one of this profile is replaced. `switch` asks the service for another account, `paste`
   * does without the browser coming back.
   */
  login(profile: string, options: ISignIn = {}): Promise<IStarted> {
    const flow = options.paste ? 'paste' : undefined;
    return this._ask(isStarted, 'POST', 'login', {
      profile,
      switch: options.switch ?? false,
      flow,
    });
  }

  /** End a pending sign-in with the address that its browser has ended on. */
  paste(id: string, url: string): Promise<IPasted> {
    return this._ask(isPasted, 'POST', 'paste', { id, url });
  }

  /** Cancel a pending sign-in, or forget a failed one. Returns whether there was one. */
  async cancel(id: string): Promise<boolean> {
    return (await this._ask(isCancelled, 'DELETE', `login/${encodeURIComponent(id)}`)).cancelled;
  }

  /** Let the person at the device confirm that it is them, by their operating system's own question. */
  confirm(profile: string): Promise<IConfirmed> {
    return this._ask(isConfirmed, 'POST', 'confirm', { profile });
  }

  /** Sign out everywhere on this machine. */
  logout(profile: string): Promise<ILoggedOut> {
    return this._ask(isLoggedOut, 'POST', 'logout', { profile });
  }

  private async _ask<T>(check: Check<T>, method: string, route: string, body?: object): Promise<T> {
    const init: RequestInit = { method, signal: AbortSignal.timeout(PATIENCE) };
    if (body) {
      init.headers = { 'Content-Type': 'application/json' };
      init.body = JSON.stringify(body);
    }
    let response: Response;
    let answer: unknown;
    try {
      response = await this._request(`nativeauth/api/${route}`, init);
      answer = await response.text();
    } catch {
      throw offline();
    }
    try {
      answer = JSON.parse(answer as string);
    } catch {
      // Not JSON: no check below passes.
    }
    if (response.ok && check(answer)) {
      return answer;
    }
    throw !response.ok && isProblem(answer)
      ? new ApiError(answer.code, answer.message, answer.hint)
      : stranger(response.status);
  }
}

/** Milliseconds. The server may be waiting for a person who unlocks the keychain: it gives them a minute. */
const PATIENCE = 90_000;

function offline(): ApiError {
  return new ApiError(
    'offline',
    'The Jupyter server does not answer.',
    'Check your network, and whether Jupyter is still running.',
  );
}

/** What it means that somebody else has answered, or the server in a way that we do not know. */
function stranger(status: number): ApiError {
  if ([424, 502, 503, 504].includes(status)) {
    return offline(); // a proxy or a hub whose Jupyter server has stopped
  }
  if (status === 404) {
    return new ApiError(
      'not_installed',
      'The Jupyter server does not know jupyter_nativeauth.',
      'Install it in the environment of the Jupyter server, and restart the server.',
    );
  }
  if (status === 401 || status === 403) {
    return new ApiError(
      'forbidden',
      'You are not signed in to Jupyter any more, or may not do this.',
      'Reload this page.',
    );
  }
  return new ApiError(
    'bad_answer',
    'The Jupyter server gave an answer that cannot be read.',
    'Reload this page. If that does not help, look at the log of the server.',
  );
}

type Check<T> = (value: unknown) => value is T;

const isText = (value: unknown): value is string => typeof value === 'string';
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isState = (value: unknown): value is State => (STATES as readonly unknown[]).includes(value);

/** Whether it is a page that a browser may be sent to: no `javascript:` and no `data:`. */
const isPage = (value: unknown): value is string =>
  isText(value) && /^https?:\/\//.test(value) && URL.canParse(value);

const orNull =
  <T>(check: Check<T>): Check<T | null> =>
  (value): value is T | null =>
    value === null || check(value);

const listOf =
  <T>(check: Check<T>): Check<T[]> =>
  (value): value is T[] =>
    Array.isArray(value) && value.every(check);

/** The compiler sees to it that no member of T is left unchecked. */
const shape =
  <T>(members: { [K in keyof T]-?: Check<T[K]> }): Check<T> =>
  (value): value is T =>
    typeof value === 'object' &&
    value !== null &&
    (Object.entries(members) as [string, Check<unknown>][]).every(([name, check]) =>
      check((value as Record<string, unknown>)[name]),
    );

const isProblem = shape<IProblem>({ code: isText, message: isText, hint: isText });
const PENDING = { id: isText, until: isNumber, paste: isFlag };
const isStarted = shape<IStarted>({ ...PENDING, url: isPage });
const isPasted = shape<IPasted>({ accepted: isFlag, url: orNull(isPage) });
const isCancelled = shape<{ cancelled: boolean }>({ cancelled: isFlag });
const isConfirmed = shape<IConfirmed>({ profile: isText, confirm_by: orNull(isNumber) });
const isLoggedOut = shape<ILoggedOut>({
  profile: isText,
  local: isFlag,
  revoked: orNull(isFlag),
  message: isText,
  url: orNull(isPage),
});
const isProfiles = shape<IProfiles>({
  now: isNumber,
  config: shape<IProfiles['config']>({ file: isText, redirect_uris: listOf(isText) }),
  profiles: listOf(
    shape<IProfile>({
      profile: isText,
      default: isFlag,
      service: isText,
      issuer: isText,
      api: listOf(isText),
      state: isState,
      name: isText,
      email: isText,
      scopes: listOf(isText),
      signed_in_at: orNull(isNumber),
      expires_at: orNull(isNumber),
      ends_at: orNull(isNumber),
      renews: isFlag,
      key_source: isText,
      key_label: isText,
      message: isText,
      hint: isText,
      ends_session: isFlag,
      confirm_by: orNull(isNumber),
      pending: orNull(shape<IPending>(PENDING)),
      failed: orNull(shape<IFailure>({ id: isText, code: isText, message: isText, hint: isText })),
    }),
  ),
});
