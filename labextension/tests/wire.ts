/**
 * The samples of the wire that the Python tests read too, and the server's side of it as far as a page can tell.
 */
import cancel from '../../tests/wire/cancel.json';
import confirm from '../../tests/wire/confirm.json';
import error from '../../tests/wire/error.json';
import event from '../../tests/wire/event.json';
import login from '../../tests/wire/login.json';
import logout from '../../tests/wire/logout.json';
import paste from '../../tests/wire/paste.json';
import profiles from '../../tests/wire/profiles.json';
import type { IFailure, IProblem, IProfile, Request } from '../src/api';

export const SAMPLES = { cancel, confirm, error, event, login, logout, paste, profiles };

/** A copy of the sample's profile of that name, with other facts. */
export function sample(name: string, facts: Partial<IProfile> = {}): IProfile {
  const found = profiles.profiles.find((profile) => profile.profile === name);
  if (!found) {
    throw new Error(`There is no sample ${name}.`);
  }
  return { ...structuredClone(found as IProfile), ...facts };
}

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status });
}

/** Answers as the server does. */
export class Server {
  constructor(public profiles: IProfile[]) {}

  /** `GET profiles`, `POST login acme` and so on, as they came in. */
  readonly requests: string[] = [];
  /** The connection fails. */
  isDown = false;
  /** Every request but the list is refused with this. */
  refusal: IProblem | null = null;
  /** The service has something to ask once the address is pasted. */
  asksFirst = false;
  /** What was pasted. */
  readonly pasted: string[] = [];
  /** Seconds since the epoch. */
  now = () => Date.now() / 1000;

  /** Answer no request of this method until the returned function is called. */
  hold(method: 'GET' | 'POST'): () => void {
    let release!: () => void;
    this._held = { method, until: new Promise((resolve) => (release = resolve)) };
    return release;
  }

  readonly request: Request = async (path, init) => {
    const route = path.replace('nativeauth/api/', '');
    const body = init.body ? JSON.parse(init.body as string) : {};
    this.requests.push(
      [init.method, route, body.profile, body.switch && 'switch', body.flow]
        .filter(Boolean)
        .join(' '),
    );
    if (route === 'paste') {
      this.pasted.push(body.url);
    }
    // The list is read before the wait and the rest is done after it: the slowest server that is still right.
    const list = structuredClone(this.profiles);
    if (this._held && this._held.method === init.method) {
      await this._held.until;
    }
    if (this.isDown) {
      throw new TypeError('Failed to fetch');
    }
    if (route === 'profiles') {
      return json({ ...profiles, now: this.now(), profiles: list });
    }
    return this.refusal ? json(this.refusal, 400) : json(this._do(route, body));
  };

  /** The person has signed in at the service, in whichever way. */
  finish(name: string): void {
    this.change(name, { ...sample('acme', { profile: name }), signed_in_at: this.now() });
  }

  /** The pending sign-in has failed. */
  fail(name: string, failed: IFailure): void {
    this.change(name, { pending: null, failed });
  }

  change(name: string, facts: Partial<IProfile>): void {
    this.profiles = this.profiles.map((it) => (it.profile === name ? { ...it, ...facts } : it));
  }

  private _do(
    route: string,
    { profile: name = '', flow, id: pasted }: Record<string, string | undefined>,
  ): unknown {
    if (route === 'login') {
      this._count += 1;
      const started = { id: `id${this._count}`, until: this.now() + 300, paste: flow === 'paste' };
      this.change(name, { pending: started, failed: null });
      return { ...started, url: `${login.url}${this._count}` };
    }
    if (route === 'confirm') {
      const confirm_by = this.now() + 3600;
      this.change(name, { confirm_by });
      return { ...confirm, profile: name, confirm_by };
    }
    if (route === 'logout') {
      const url = this.profiles.find((it) => it.profile === name)?.ends_session ? logout.url : null;
      this.change(name, { ...sample('out', { profile: name }) });
      return { ...logout, profile: name, url };
    }
    if (route === 'paste') {
      const waiting = this.profiles.find((it) => it.pending?.id === pasted);
      if (waiting && !this.asksFirst) {
        this.finish(waiting.profile);
      }
      return { ...paste, url: this.asksFirst ? login.url : null };
    }
    const id = route.replace('login/', '');
    const found = this.profiles.find((it) => id === it.pending?.id || id === it.failed?.id);
    if (found) {
      this.change(found.profile, { pending: null, failed: null });
    }
    return { cancelled: found !== undefined };
  }

  private _held: { method: string; until: Promise<void> } | null = null;
  private _count = 0;
}
