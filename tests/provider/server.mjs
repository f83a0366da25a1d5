// A certified OpenID provider, a small API that it protects, and a control port for the tests. Loopback only.
//
//   node server.mjs '{"port": 0, ...}'      prints one line of JSON with the ports, and ends when its standard input does
//
// The control port: POST /reset {switches}, /fault {...}, /release, /expire {"model": "AccessToken"};
// GET /state, and GET /wait?for=holding|requests&endpoint=token&count=1&seconds=10.

import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';

import { Faults } from './faults.mjs';
import { Journal } from './journal.mjs';
import { errorPage } from './pages.mjs';
import { DEFAULTS, interact, makeKey, makeProvider, person } from './provider.mjs';

const ROUTES = {
  authorization: '/auth', token: '/token', revocation: '/token/revocation', userinfo: '/me', jwks: '/jwks',
  end_session: '/session/end',
};
const OF_THE_CLIENT = { state: 'state', nonce: 'nonce', code_verifier: 'verifier' };
const ISSUED = { authorization_code: 'code', access_token: 'access', refresh_token: 'refresh', device_code: 'device' };

const start = JSON.parse(process.argv[2] ?? '{}');
const journal = new Journal();
const faults = new Faults(journal);
const keys = {};
let config;
let current;
let handle;
let issuer;
let at;

const endpointOf = (path) => Object.entries({ ...ROUTES, ...config.routes }).find(([, place]) => place === path)?.[0]
  ?? (path.startsWith('/.well-known/') ? 'discovery' : 'page');
const listen = (server, port) => new Promise((resolve) => {
  server.listen(port ?? 0, '127.0.0.1', () => resolve(server.address().port));
});
const read = async (req) => Buffer.concat(await req.toArray()).toString();
const send = (res, status, body, headers = {}) => {
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(typeof body === 'string' ? body : JSON.stringify(body));
};
const withoutIss = (address) => {
  const url = new URL(address, issuer);
  url.searchParams.delete('iss');
  return url.href;
};

function reset(switches = {}) {
  const unknown = Object.keys(switches).filter((name) => !(name in DEFAULTS));
  if (unknown.length) throw new Error(`no such switch: ${unknown}`);
  config = { ...DEFAULTS, ...start.defaults, ...switches };
  journal.clear();
  faults.clear();
  keys[config.alg] ??= makeKey(config.alg);
  issuer = `http://${config.issuer_host}:${at}`;
  current = makeProvider(issuer + config.issuer_path, config, keys[config.alg]);
  const { provider } = current;
  for (const [model, kind] of Object.entries(ISSUED)) {
    provider.on(`${model}.saved`, (token) => {
      journal.secret(kind, token.jti);
      if (token.userCode) journal.secret('user_code', token.userCode);
    });
  }
  provider.use(observed);
  handle = provider.callback();
}

/** Around every request to the provider: journal, faults, and the one switch that it does not have itself. */
async function observed(ctx, next) {
  const endpoint = endpointOf(ctx.path);
  const entry = journal.begin(endpoint, ctx.req);
  ctx.res.once('close', () => journal.end(entry, ctx.res.headersSent ? ctx.res.statusCode : null));

  if (endpoint === 'authorization' || endpoint === 'end_session') translate(ctx);
  const apply = (answer) => {
    if (answer === undefined) return;
    ctx.respond = false;
    if (answer === null) ctx.req.socket.destroy();
    else send(ctx.res, answer.status, answer.body, answer.headers);
  };
  const early = await faults.strike(endpoint, 'before');
  if (early !== undefined) {
    note(entry, ctx.url, new URLSearchParams(ctx.method === 'POST' ? await read(ctx.req) : ''));
    apply(early);
    return;
  }
  await next();
  const given = new URLSearchParams(ctx.oidc?.body ?? '');
  note(entry, ctx.url, given);
  if (endpoint === 'token') learn(given, ctx);
  if (!config.iss) hideIss(ctx, endpoint);
  const to = ctx.response.get('location');
  if (to?.startsWith(`${issuer}/`)) ctx.set('location', to.slice(issuer.length));
  apply(await faults.strike(endpoint, 'after'));
}

/** Some services have names of their own for parameters, and give offline access without being asked for consent. */
function translate(ctx) {
  const url = new URL(ctx.url, issuer);
  const query = new URLSearchParams([...url.searchParams].map(([name, value]) => [config.names[name] ?? name, value]));
  if (config.consent === 'given' && query.get('scope')?.includes('offline_access')) query.set('prompt', 'consent');
  ctx.url = `${url.pathname}?${query}`;
}

/** Names of parameters only; the values that are secrets go where the sweep looks for them. */
function note(entry, url, body) {
  entry.params.push(...body.keys());
  entry.grant_type = body.get('grant_type');
  for (const [name, value] of [...new URL(url, issuer).searchParams, ...body]) {
    if (OF_THE_CLIENT[name]) journal.secret(OF_THE_CLIENT[name], value);
  }
}

function learn(given, ctx) {
  const refresh = given.get('refresh_token');
  if (refresh && config.rotation) journal.presented(refresh, ctx.status === 200);
  if (ctx.status === 200) {
    journal.secret('id', ctx.body.id_token);
    journal.secret('access', ctx.body.access_token);
  }
}

function hideIss(ctx, endpoint) {
  const to = ctx.response.get('location');
  if (to && new URL(to, issuer).origin !== issuer) ctx.set('location', withoutIss(to));
  if (endpoint === 'discovery') delete ctx.body.authorization_response_iss_parameter_supported;
}

// ---- the protected API, at two origins ----

async function api(req, res) {
  const entry = journal.begin('api', req);
  entry.origin = `http://${req.headers.host}`;
  const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1];
  entry.bearer = token === undefined ? null : journal.which(token);
  res.once('close', () => journal.end(entry, res.headersSent ? res.statusCode : null));
  const body = await read(req);
  const struck = await faults.strike('api', 'before');
  if (struck === null) return req.socket.destroy();
  if (struck) return send(res, struck.status, struck.body, struck.headers);

  const url = new URL(req.url, issuer);
  if (url.pathname === '/api/redirect') {
    return send(res, Number(url.searchParams.get('status') ?? 302), {}, { location: url.searchParams.get('to') });
  }
  if (url.pathname !== '/api/me') return send(res, 404, { error: 'not_found' });
  if (token === undefined) return send(res, 401, {}, { 'www-authenticate': 'Bearer realm="api"' });
  const known = await opened(token);
  if (!known) {
    return send(res, 401, {}, {
      'www-authenticate': 'Bearer realm="api", error="invalid_token", error_description="The access token is over"',
    });
  }
  return send(res, 200, { ...person(known.accountId), scope: known.scope, method: req.method, received: body.length });
}

/** Who an access token is for. JWTs are not kept by the provider: anybody may check them. */
async function opened(token) {
  if (config.jwt === null) return current.provider.AccessToken.find(token);
  const [header, payload, signature = ''] = token.split('.');
  const key = createPublicKey({ key: keys[config.alg], format: 'jwk' });
  if (!verify('sha256', `${header}.${payload}`, key, Buffer.from(signature, 'base64url'))) return undefined;
  const { sub, exp, scope } = JSON.parse(Buffer.from(payload, 'base64url'));
  return exp * 1000 > Date.now() ? { accountId: sub, scope } : undefined;
}

// ---- the pages, and the control port ----

async function web(req, res) {
  if (!req.url.startsWith('/interaction/')) return handle(req, res);
  const entry = journal.begin('interaction', req);
  res.once('close', () => journal.end(entry, res.headersSent ? res.statusCode : null));
  const form = req.method === 'POST' ? new URLSearchParams(await read(req)) : undefined;
  try {
    return await interact(current.provider, config, req, res, form);
  } catch (error) {
    // An interaction that is over, or that began in another browser.
    res.writeHead(400, { 'content-type': 'text/html; charset=utf-8' });
    return res.end(errorPage({ error: error.error ?? error.name, description: error.error_description ?? error.message }));
  }
}

const commands = {
  'GET /state': () => ({
    requests: journal.requests, secrets: journal.secrets, reuse: journal.reuse, holding: faults.holding, config,
  }),
  'GET /wait': async (url) => {
    const { for: what, endpoint, count, seconds } = Object.fromEntries(url.searchParams);
    const number = () => (what === 'holding'
      ? faults.holding[endpoint] ?? 0
      : journal.requests.filter((entry) => entry.endpoint === endpoint).length);
    return { reached: await journal.until(() => number() >= Number(count), Number(seconds)), number: number() };
  },
  'POST /reset': (_url, body) => reset(body),
  'POST /fault': (_url, body) => faults.add(body),
  'POST /release': () => faults.release(),
  'POST /expire': (_url, body) => current.expire(body.model),
};

async function control(req, res) {
  const url = new URL(req.url, 'http://control');
  const command = commands[`${req.method} ${url.pathname}`];
  try {
    const body = req.method === 'POST' ? JSON.parse(await read(req) || '{}') : undefined;
    if (!command) throw new Error(`no such command: ${req.method} ${url.pathname}`);
    send(res, 200, await command(url, body) ?? {});
  } catch (error) {
    send(res, 400, { error: error.message });
  }
}

at = await listen(createServer((req, res) => web(req, res)), start.port);
reset();
const ports = { provider: at };
for (const [name, serve] of [['api', api], ['other', api], ['control', control]]) {
  ports[name] = await listen(createServer(serve), start[`${name}_port`]);
}
console.log(JSON.stringify(ports));
process.stdin.resume().on('end', () => process.exit());   // whoever started this is gone
