// The certified provider, set up as a service that serves a native public client (RFC 8252). Every feature is a switch.

import { generateKeyPairSync, randomBytes } from 'node:crypto';

import { Provider, interactionPolicy } from 'oidc-provider';

import { makeStore } from './adapter.mjs';
import { consentPage, errorPage, goodbyePage, loginPage, logoutPage, selectPage } from './pages.mjs';

export const DEFAULTS = {
  client_id: 'cli',
  client_secret: null,             // a string makes the client confidential (client_secret_basic)
  redirect_paths: ['/nativeauth/callback'],
  logout_paths: ['/nativeauth/logout/callback'],
  hosts: ['127.0.0.1', '[::1]'],
  interaction: 'page',             // "auto": everybody is signed in and allowed at once
  username: 'ada',                 // who is signed in by "auto", and stands in the form
  access_token_ttl: 3600,
  refresh: 'offline_access',       // "always" | "never"
  rotation: true,
  reuse_detection: true,
  revocation: true,
  logout: true,
  iss: true,
  device: false,
  select_account: false,
  alg: 'RS256',
  issuer_path: '',                 // "/" for an issuer that ends in a slash
  issuer_host: '127.0.0.1',        // the name in the issuer; the browser stays at whatever name it came to
  routes: {},                      // other paths, by oidc-provider's names of its routes
  names: {},                       // other names of parameters in the browser's requests: theirs -> the standard's
  consent: 'asked',                // "given": offline_access needs no prompt=consent
  jwt: null,                       // access tokens are JWTs for the "client", or for the "resource" that was asked for
  clients: [],                     // more clients, as oidc-provider wants them
};

const KEYS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

export const makeKey = (alg) => ({
  ...KEYS[alg]().privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: `${alg}-${randomBytes(4).toString('hex')}`,
});

/** Everybody exists: `user-ada` is Ada Example. */
export const person = (sub) => {
  const name = sub.replace(/^user-/, '');
  return {
    sub,
    name: `${name[0].toUpperCase()}${name.slice(1)} Example`,
    email: `${name}@example.org`,
    email_verified: true,
  };
};

export function makeProvider(issuer, config, key) {
  const store = makeStore({ keepSpent: !config.reuse_detection });
  const policy = interactionPolicy.base();
  if (config.select_account) {
    policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);
  }
  const uris = (paths) => config.hosts.flatMap((host) => paths.map((path) => `http://${host}${path}`));
  const provider = new Provider(issuer, {
    adapter: store.Adapter,
    jwks: { keys: [key] },
    clients: [{
      client_id: config.client_id,
      client_name: 'Jupyter',
      application_type: 'native',
      ...(config.client_secret
        ? { client_secret: config.client_secret, token_endpoint_auth_method: 'client_secret_basic' }
        : { token_endpoint_auth_method: 'none' }),
      grant_types: ['authorization_code', 'refresh_token',
        ...(config.device ? ['urn:ietf:params:oauth:grant-type:device_code'] : [])],
      redirect_uris: uris(config.redirect_paths),
      post_logout_redirect_uris: uris(config.logout_paths),
      id_token_signed_response_alg: config.alg,
    }, ...config.clients],
    scopes: ['openid', 'profile', 'email', ...(config.refresh === 'offline_access' ? ['offline_access'] : [])],
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], auth_time: null, iss: null },
    conformIdTokenClaims: false,       // name and e-mail in the ID token, as most services do
    clockTolerance: 0,                 // an access token ends when it says so
    cookies: { keys: [randomBytes(16).toString('hex')] },
    expiresWithSession: async () => false,
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: config.device },
      resourceIndicators: {
        enabled: config.jwt !== null,
        defaultResource: async (_ctx, _client, oneOf) => oneOf ?? (config.jwt === 'client' ? 'urn:client' : undefined),
        getResourceServerInfo: async (_ctx, resource, client) => ({
          scope: '',
          audience: config.jwt === 'client' ? client.clientId : resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: config.access_token_ttl,
          jwt: { sign: { alg: config.alg } },
        }),
        useGrantedResource: async () => true,
      },
      revocation: { enabled: config.revocation },
      rpInitiatedLogout: {
        enabled: config.logout,
        logoutSource: async (ctx, form) => { ctx.body = logoutPage(form); },
        postLogoutSuccessSource: async (ctx) => { ctx.body = goodbyePage(); },
      },
    },
    findAccount: async (_ctx, sub) => ({ accountId: sub, claims: async () => person(sub) }),
    interactions: { policy, url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: async (_ctx, client, source) => client.grantTypeAllowed('refresh_token')
      && (config.refresh === 'always' || (config.refresh === 'offline_access' && source.scopes.has('offline_access'))),
    pkce: { required: () => true },
    renderError: async (ctx, out) => { ctx.type = 'html'; ctx.body = errorPage(out); },
    rotateRefreshToken: config.rotation,
    routes: config.routes,
    ttl: {
      AccessToken: config.access_token_ttl, AuthorizationCode: 60, DeviceCode: 600, IdToken: 3600, Grant: 86400,
      Interaction: 600, RefreshToken: 86400, Session: 86400,
    },
  });
  return { provider, expire: store.expire };
}

/** The pages between the authorization request and its answer. */
export async function interact(provider, config, req, res, form) {
  const details = await provider.interactionDetails(req, res);
  const { prompt: { name: prompt }, params, session } = details;
  const finish = (result) => provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
  const show = (html) => { res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html); };
  const answer = form?.get('answer') ?? (config.interaction === 'auto' ? 'auto' : undefined);

  if (answer === 'deny') {
    return finish({ error: 'access_denied', error_description: 'The person said no.' });
  }
  if (prompt === 'consent') {
    return answer
      ? finish({ consent: { grantId: await allow(provider, details) } })
      : show(consentPage(params.client_id, params.scope.split(' ')));
  }
  if (answer === 'keep') return finish({ login: { accountId: session.accountId }, select_account: {} });
  if (answer) {
    const accountId = `user-${form?.get('username') || params.login_hint || config.username}`;
    return finish({ login: { accountId }, ...(prompt === 'select_account' && { select_account: {} }) });
  }
  return show(prompt === 'select_account' && session
    ? selectPage(session.accountId)
    : loginPage(params.login_hint ?? config.username));
}

async function allow(provider, { prompt, params, session, grantId }) {
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(prompt.details.missingOIDCScope?.join(' ') ?? params.scope);
  return grant.save();
}
