// A certified OpenID provider for the integration tests: npm's `oidc-provider`, in memory, on loopback.
//
//   node oidc-provider.mjs --redirect-uri URI [--redirect-uri URI ...] [--post-logout-redirect-uri URI ...]
//        [--client-id evergate] [--client-secret SECRET] [--port 0] [--access-token-seconds 2]
//        [--client-auth-method client_secret_basic] [--client-jwk JSON] [--require-par]
//        [--issuer URL] [--backchannel-logout-uri URI] [--introspection] [--resources]
//
// `--resources` lets clients register, and issues JWTs for the resource that they name (RFC 8707).
// `--issuer` is for a provider behind a proxy; else it is the address that it listens at.
//
// There is one confidential client. PKCE (S256) is required; refresh tokens rotate on every use, and a used one
// that is presented again ends the grant. A refresh token is issued only for the scope `offline_access`, and that
// scope is heeded only with `prompt=consent` in the authorization request (OIDC Core section 11).
//
// Standard output is JSON, one object a line. The first says that it listens:
//
//   {"issuer":"http://127.0.0.1:40123","port":40123}
//
// and each later one is an event, without any token, code or secret:
//
//   {"event":"interaction.started","prompt":"login"}           also "consent"
//   {"event":"pushed_authorization_request.success"}           with PAR
//   {"event":"authorization.success","user":"maya"}            a code was issued
//   {"event":"refresh_token.consumed","user":"maya","rotations":0}
//   {"event":"refresh_token.saved","user":"maya","rotations":1}
//   {"event":"grant.success","user":"maya","grant_type":"refresh_token"}         a token call that succeeded
//   {"event":"refresh_token.destroyed","user":"maya","rotations":1}              by revocation, or by reuse
//   {"event":"grant.error","grant_type":"refresh_token","error":"invalid_grant","detail":"refresh token already used"}
//   {"event":"grant.revoked","by":"token"}                     by reuse; "revocation", "end_session_confirm", "stdin"
//   {"event":"authorization.error","error":"access_denied","detail":"End-User aborted interaction"}
//   {"event":"end_session.success"}
//
// To count token calls, count `grant.success` and `grant.error`.
//
// Standard input takes commands, one a line, and its end ends the process, so that it never outlives its parent:
//
//   revoke     ends all grants, as an administrator would
//   replay     presents the refresh token that was used last once more, as a thief would; this ends its grant
//
// A plain HTTP client logs in by these requests. It keeps cookies by host and name, the latest value of each, and
// follows no redirect by itself; every answer is 303 unless it says otherwise, and a Location may be relative. The
// first needs `Accept: text/html`, and no `Sec-Fetch-Mode: cors` as some clients send it, or it is answered 401.
//
//   1. GET  the app                      -> ISSUER/auth?client_id=...&prompt=consent&...
//   2. GET  that                         -> ISSUER/interaction/UID
//   3. GET  that                         200, the login page (optional: the page holds nothing that is needed)
//   4. POST ISSUER/interaction/UID       prompt=login&login=maya&password=any  -> ISSUER/auth/UID
//   5. GET  that                         -> ISSUER/interaction/UID2, another UID
//   6. POST ISSUER/interaction/UID2      prompt=consent                        -> ISSUER/auth/UID2
//   7. GET  that                         -> the redirect URI with code, state and iss
//
// `login` becomes `sub` and `preferred_username`, and the e-mail address is `login@example.com`, verified. With
// the provider's cookies kept, a second login begins at the consent of step 6. To decline instead:
// GET ISSUER/interaction/UID/abort -> ISSUER/auth/UID -> the redirect URI with error=access_denied.
//
// Logout: GET the end_session_endpoint with `id_token_hint` and `post_logout_redirect_uri` answers 200 with a page
// that has a hidden field `xsrf`; POST ISSUER/session/end/confirm xsrf=...&logout=yes -> the post-logout URI.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

// The library greets on standard output, which is for JSON alone; its advice for production is of no use here.
console.info = console.warn = () => {};
const { Provider } = await import('oidc-provider');

const { values: options } = parseArgs({
  options: {
    'redirect-uri': { type: 'string', multiple: true, default: [] },
    'post-logout-redirect-uri': { type: 'string', multiple: true, default: [] },
    'client-id': { type: 'string', default: 'evergate' },
    'client-secret': { type: 'string', default: 'not-much-of-a-secret' },
    'client-auth-method': { type: 'string', default: 'client_secret_basic' },
    'client-jwk': { type: 'string' },
    'require-par': { type: 'boolean', default: false },
    'access-token-seconds': { type: 'string', default: '2' },
    port: { type: 'string', default: '0' },
    issuer: { type: 'string' },
    'backchannel-logout-uri': { type: 'string' },
    introspection: { type: 'boolean', default: false },
    resources: { type: 'boolean', default: false },
  },
});

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

// The issuer names the port, so the port comes first.
const server = createServer();
await new Promise((listening, failed) => server.once('error', failed).listen(Number(options.port), '127.0.0.1', listening));
const { port } = server.address();
const issuer = options.issuer ?? `http://127.0.0.1:${port}`;
const backChannel = options['backchannel-logout-uri'];

const day = 86_400;
const provider = new Provider(issuer, {
  clients: [{
    client_id: options['client-id'],
    // A client with a key has no secret.
    ...(options['client-jwk'] ? { jwks: { keys: [JSON.parse(options['client-jwk'])] } } : { client_secret: options['client-secret'] }),
    token_endpoint_auth_method: options['client-auth-method'],
    redirect_uris: options['redirect-uri'],
    post_logout_redirect_uris: options['post-logout-redirect-uri'],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...(backChannel && { backchannel_logout_uri: backChannel, backchannel_logout_session_required: true }),
  }],
  // Its own refuses loopback.
  ...(backChannel && { fetch: (url, { dispatcher, ...rest }) => globalThis.fetch(url, rest) }),
  jwks: { keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'profile', 'email', 'offline_access', ...(options.resources ? ['tools'] : [])],
  claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, email: `${id}@example.com`, email_verified: true }),
  }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(options['access-token-seconds']),
    AuthorizationCode: 60, Grant: day, IdToken: 300, Interaction: 600, RefreshToken: day, Session: day,
  },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
  features: {
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: options['require-par'] },
    devInteractions: { enabled: true },
    revocation: { enabled: true, allowedPolicy: (_, client, token) => token.clientId === client.clientId },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: Boolean(backChannel) },
    registration: { enabled: options.resources },
    resourceIndicators: {
      enabled: options.resources,
      getResourceServerInfo: (_, resource) => ({
        scope: 'tools', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: Number(options['access-token-seconds']),
        jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
    introspection: { enabled: options.introspection, allowedPolicy: (_, client, token) => token.clientId === client.clientId },
  },
});

const grants = new Set();
let lastUsed;

const tell = (event, fields) => provider.on(event, (...given) => say({ event, ...fields(...given) }));
const failed = (ctx, error) => ({ grant_type: ctx.oidc?.params?.grant_type, error: error.error ?? error.name, detail: error.error_detail ?? error.error_description });
const token = ({ accountId: user, rotations = 0 }) => ({ user, rotations });
const nothing = () => ({});

tell('interaction.started', (_, { name }) => ({ prompt: name }));
tell('pushed_authorization_request.success', nothing);
tell('authorization.success', (ctx) => ({ user: ctx.oidc.session.accountId }));
tell('grant.success', (ctx) => ({ user: ctx.oidc.entities.Account?.accountId, grant_type: ctx.oidc.params.grant_type }));
tell('refresh_token.saved', token);
tell('refresh_token.consumed', token);
tell('refresh_token.destroyed', token);
tell('grant.revoked', (ctx) => ({ by: ctx.oidc.route }));
tell('end_session.success', nothing);
for (const event of ['authorization.error', 'grant.error', 'revocation.error', 'userinfo.error', 'end_session.error', 'server_error']) tell(event, failed);

provider.on('grant.saved', ({ jti }) => grants.add(jti));
provider.on('refresh_token.consumed', ({ jti }) => { lastUsed = jti; });

const commands = {
  async revoke() {
    for (const id of grants) {
      await Promise.all([provider.AccessToken, provider.RefreshToken, provider.AuthorizationCode].map((model) => model.revokeByGrantId(id)));
      await provider.Grant.adapter.destroy(id);
      say({ event: 'grant.revoked', by: 'stdin' });
    }
    grants.clear();
  },
  async replay() {
    await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa([options['client-id'], options['client-secret']].map(encodeURIComponent).join(':'))}` },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: lastUsed }),
    });
  },
};

createInterface({ input: process.stdin })
  .on('line', (line) => commands[line.trim()]?.().catch((error) => say({ event: 'command.failed', detail: error.message })))
  .on('close', () => process.exit(0));

server.on('request', provider.callback());
say({ issuer, port });
