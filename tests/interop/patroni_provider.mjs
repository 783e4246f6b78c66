// The provider and the app of `patroni.py`: npm's certified `oidc-provider`, and an app that says whom it was told of.
//
//   node patroni_provider.mjs PORT APP_PORT REDIRECT_URI ACCESS_TOKEN_SECONDS
//
// Refresh tokens rotate on every use, and one that comes again ends its grant. A login asks for a name and nothing else:
// GET the authorization URL leads to /interaction/UID, and a POST of `login=NAME` there leads back to the client. Until it
// listens nothing is printed; then one line is. GET /counted of the app answers with what the provider did:
//
//   {"calls":12,"renewals":12,"reuses":0,"introspections":0,"revocations":0,"prompts":3}
//
// `calls` are token calls with a refresh token whatever came of them, `renewals` those that succeeded.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

console.info = console.warn = () => {};
const { Provider } = await import('../peers/node_modules/oidc-provider/lib/index.js');

const [port, appPort, redirectUri, accessTokenSeconds] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const day = 86_400;

// The adapter that comes with the library forgets all but its last thousand records, and a forgotten refresh token looks
// like a dead grant. This one forgets what has expired, and nothing else.
const records = new Map();
const byGrant = new Map();

class Adapter {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async find(id) {
    const record = records.get(this.key(id));
    return record && record.until > Date.now() ? record.payload : undefined;
  }
  async findByUid(uid) { return this.find(records.get(`uid:${uid}`)); }
  async findByUserCode() { return undefined; }
  async upsert(id, payload, seconds = day) {
    records.set(this.key(id), { payload, until: Date.now() + seconds * 1000 });
    if (this.model === 'Session') records.set(`uid:${payload.uid}`, id);
    if (payload.grantId) byGrant.set(payload.grantId, (byGrant.get(payload.grantId) ?? new Set()).add(this.key(id)));
  }
  async consume(id) { records.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) {
    byGrant.get(records.get(this.key(id))?.payload.grantId)?.delete(this.key(id));
    records.delete(this.key(id));
  }
  async revokeByGrantId(id) {
    for (const key of byGrant.get(id) ?? []) records.delete(key);
    byGrant.delete(id);
  }
}

setInterval(() => {
  for (const [key, { until }] of records) if (until < Date.now()) records.delete(key);
  for (const keys of byGrant.values()) for (const key of keys) if (!records.has(key)) keys.delete(key);
}, 5_000);

const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  adapter: Adapter,
  clients: [{
    client_id: 'evergate', client_secret: 'not-much-of-a-secret', redirect_uris: [redirectUri],
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  }],
  jwks: { keys: [{ ...key.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'offline_access'],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  // Nobody is asked for consent, and each login brings a refresh token, as at most providers of a company's own.
  async loadExistingGrant({ oidc: { session, client } }) {
    const known = session.grantIdFor(client.clientId);
    const grant = (known && await provider.Grant.find(known))
      ?? new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
    grant.addOIDCScope('openid offline_access');
    await grant.save();
    return grant;
  },
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(accessTokenSeconds),
    AuthorizationCode: 60, Grant: day, IdToken: 300, Interaction: 600, RefreshToken: day, Session: day,
  },
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: (_, client, token) => token.clientId === client.clientId },
    revocation: { enabled: true, allowedPolicy: (_, client, token) => token.clientId === client.clientId },
  },
});

const counted = { calls: 0, renewals: 0, reuses: 0, introspections: 0, revocations: 0, prompts: 0 };
const isRefresh = (ctx) => ctx.oidc?.params?.grant_type === 'refresh_token';
provider.on('grant.success', (ctx) => { if (isRefresh(ctx)) { counted.calls += 1; counted.renewals += 1; } });
provider.on('grant.error', (ctx, error) => {
  if (!isRefresh(ctx)) return;
  counted.calls += 1;
  if (error.error_detail === 'refresh token already used') counted.reuses += 1;
});
provider.on('interaction.started', () => { counted.prompts += 1; });

async function interaction(request, response) {
  if (request.method === 'GET') {
    return response.setHeader('content-type', 'text/html').end('<form method="post"><input name="login"></form>');
  }
  let form = '';
  for await (const chunk of request) form += chunk;
  const login = { accountId: new URLSearchParams(form).get('login') };
  return provider.interactionFinished(request, response, { login });
}

const callback = provider.callback();
const serveProvider = createServer((request, response) => {
  if (request.url.startsWith('/interaction/')) {
    interaction(request, response).catch((error) => response.writeHead(400).end(error.message));
    return;
  }
  if (request.url.startsWith('/token/introspection')) counted.introspections += 1;
  if (request.url.startsWith('/token/revocation')) counted.revocations += 1;
  callback(request, response);
});

// The app says who was there, and whether it was told that the identity is not verified at this moment.
const serveApp = createServer((request, response) => {
  if (request.url === '/counted') return response.end(JSON.stringify(counted));
  return response.writeHead(200, {
    'x-user': request.headers['x-forwarded-user'] ?? '',
    'x-stale': request.headers['x-evergate-renewed-at'] ? '1' : '0',
  }).end('hello\n');
});
for (const server of [serveProvider, serveApp]) server.keepAliveTimeout = 120_000;

const listen = (server, at) => new Promise((listening) => server.listen(Number(at), '127.0.0.1', listening));
await Promise.all([listen(serveProvider, port), listen(serveApp, appPort)]);
process.stdout.write(`${issuer}\n`);
