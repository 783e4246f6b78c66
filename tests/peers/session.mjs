// Pages that do not lose work: a real browser, an app of its own, and `evergate demo` between them. Sessions end under the pages, and
// what they do then waits for the user to sign in again.
//
//   node session.mjs EVERGATE PUBLIC        EVERGATE is the binary
//
// PUBLIC is the host:port of an Evergate whose pages everybody may see, but for /api; the browser finds public.test there.
//
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const [binary, openToAll] = process.argv.slice(2);
const failures = [];
function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || !detail ? '' : `: ${detail}`}`);
  if (!holds) failures.push(what);
}

// The app: a page with a strict policy, and what its script asks for.
const requests = [];
const eventStreams = [];
const app = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { pathname } = new URL(request.url, 'http://app');
    const body = Buffer.concat(chunks).toString();
    if (pathname !== '/favicon.ico') requests.push({ method: request.method, pathname, body, user: request.headers['x-forwarded-user'], kind: request.headers['x-kind'] });
    if (pathname === '/refuses') {
      // What another origin may say of itself.
      response.writeHead(401, { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'evergate-response', 'evergate-response': 'sign_in_required' });
      response.end();
    } else if (pathname === '/events') {
      eventStreams.push(response);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`event: hello\ndata: ${request.headers['x-forwarded-user']}\n\ndata: tick\n\n`);
    } else if (pathname === '/page') {
      response.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': `default-src 'self'; script-src 'self'; connect-src 'self' ${appAt()}; require-trusted-types-for 'script'` });
      response.end('<!doctype html><html lang="en"><title>An app</title><script src="/oauth2/session.js"></script><main><h1>An app</h1></main>');
    } else {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ method: request.method, body, kind: request.headers['x-kind'] }));
    }
  });
});
app.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.on('error', () => {});
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  const text = Buffer.from(request.headers['x-forwarded-user']);
  socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
});
await new Promise((listening) => app.listen(0, '127.0.0.1', listening));
// The app's own address is another origin than Evergate's.
const appAt = () => `http://127.0.0.1:${app.address().port}`;

const demo = spawn(binary, ['demo', '--app', appAt()], { stdio: ['ignore', 'pipe', 'ignore'] });
const url = await new Promise((found) => {
  let said = '';
  demo.stdout.on('data', (text) => { said += text; const at = /http:\/\/localhost:\d+/.exec(said); if (at) found(at[0]); });
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--host-resolver-rules=MAP public.test:80 ${openToAll}`],
});
const context = await browser.newContext();
context.setDefaultTimeout(120_000);

async function choose(page, name) {
  await page.getByRole('link', { name }).click();
}

async function open(name) {
  const page = await context.newPage();
  const asked = page.waitForResponse((response) => response.url() === `${url}/oauth2/userinfo` && response.ok());
  await page.goto(`${url}/page`);
  if (new URL(page.url()).origin !== url) await choose(page, name);
  await page.waitForURL(`${url}/page`);
  // The script knows its user from here on: what it asked has been answered, and so has a question after it.
  await (await asked).finished();
  await page.waitForFunction(() => fetch('/oauth2/userinfo').then((r) => r.ok));
  return page;
}

// As another tab would. At the provider the user stays signed in, unless the browser is sent on to it.
const endSession = async ({ atProvider = false } = {}) => {
  const gone = await context.request.post(`${url}/oauth2/sign_out`, { headers: { 'sec-fetch-site': 'same-origin' }, maxRedirects: 0 });
  if (gone.status() !== 303) throw new Error(`sign_out: ${gone.status()} ${await gone.text()}`);
  if (atProvider) await context.request.get(gone.headers().location);
};

// Signs in at the window that the overlay opens, which closes by itself. Without a name, the provider knows who it is.
async function signInAgain(page, name) {
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  const [opened] = await Promise.all([context.waitForEvent('page'), dialog.getByRole('button', { name: 'Sign in' }).click()]);
  const closed = opened.isClosed() ? null : opened.waitForEvent('close');
  if (name) await choose(opened, name);
  await closed;
}

async function visit() {
  const page = await open('Maya');
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));

  const sent = (pathname) => requests.filter((one) => one.pathname === pathname).length;
  await endSession({ atProvider: true });
  const posted = page.evaluate(() => fetch('/save', { method: 'POST', body: 'a long text', headers: { 'x-kind': 'fetch' } }).then((r) => r.json()));
  await page.getByRole('dialog').waitFor();
  const { violations } = await new AxeBuilder({ page }).analyze();
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  check('the overlay has no serious accessibility violation', grave.length === 0, grave.map(({ id }) => id).join());
  check('its button has the focus', await page.evaluate(() => document.activeElement.textContent === 'Sign in'));
  check('and nothing has reached the app', sent('/save') === 0);
  await signInAgain(page, /Maya/);
  const saved = await posted;
  check('a fetch waits and is sent once', saved.body === 'a long text' && saved.kind === 'fetch' && sent('/save') === 1, JSON.stringify(saved));

  await endSession();
  const whole = page.evaluate(() => fetch(new Request('/request', { method: 'PUT', body: 'whole' })).then((r) => r.json()));
  const xhr = page.evaluate(() => new Promise((done) => {
    const request = new XMLHttpRequest();
    const heard = [];
    request.onreadystatechange = () => { if (request.readyState === 4) heard.push(request.status); };
    request.addEventListener('load', () => heard.push('load'));
    request.onloadend = () => done({ heard, response: request.response });
    request.open('POST', '/xhr');
    request.responseType = 'json';
    request.setRequestHeader('x-kind', 'xhr');
    request.send('kept');
  }));
  await signInAgain(page);
  check('a Request object with a body waits too', (await whole).body === 'whole');
  const { heard, response } = await xhr;
  check('an XMLHttpRequest waits, and its page hears of the last response alone', heard.join() === '200,load' && response.body === 'kept' && response.kind === 'xhr', JSON.stringify({ heard, response }));

  await page.evaluate(() => {
    window.heard = [];
    window.source = new EventSource('/events');
    source.addEventListener('hello', (event) => heard.push(event.data));
    source.onmessage = (event) => heard.push(event.data);
  });
  await page.waitForFunction(() => heard.length === 2);
  await endSession();
  await signInAgain(page);
  await page.waitForFunction(() => heard.length === 4);
  check('an EventSource goes on with its listeners', await page.evaluate(() => source instanceof EventSource && heard.join() === 'maya,tick,maya,tick'), await page.evaluate(() => heard.join()));
  await page.evaluate(() => {
    window.late = [];
    source.addEventListener('late', (event) => late.push(event.data));
    source.addEventListener('late', (event) => late.push(event.type));
  });
  for (const stream of eventStreams) stream.write('event: late\ndata: now\n\n');
  const isHeard = await page.waitForFunction(() => late.length > 1, null, { timeout: 30_000 }).then(() => true, () => false);
  check('and hears events of a type that its page begins to listen to afterwards, each once', isHeard && await page.evaluate(() => late.join() === 'now,late'), await page.evaluate(() => late.join()));
  const streams = sent('/events');
  await endSession();
  await page.getByRole('dialog').waitFor();
  await page.evaluate(() => {
    source.close();
    window.givenUp = new XMLHttpRequest();
    givenUp.open('POST', '/given-up');
    givenUp.send('x');
    window.later = fetch('/later').then((r) => r.ok);
  });
  await page.waitForFunction(() => givenUp.readyState === 4);
  await page.evaluate(() => givenUp.abort());
  await signInAgain(page);
  check('what waits besides goes on', await page.evaluate(() => later));
  check('who closes an EventSource while it waits hears no more of it', sent('/events') === streams && await page.evaluate(() => heard.length === 4));
  check('who aborts an XMLHttpRequest while it waits has it not sent', sent('/given-up') === 0);

  const refused = `${appAt()}/refuses`;
  const foreign = await page.evaluate((url) => fetch(url).then((r) => `${r.status},${r.headers.get('evergate-response')}`), refused);
  check("another origin's refusal is its own", foreign === '401,sign_in_required' && sent('/refuses') === 1, `${foreign} ${sent('/refuses')}`);
  const status = (url) => page.evaluate((url) => new Promise((done) => {
    const request = new XMLHttpRequest();
    request.onloadend = () => done(request.status);
    request.open('GET', url);
    request.send();
  }), url);
  check("so is that of an XMLHttpRequest", await status(refused) === 401 && sent('/refuses') === 2, `${sent('/refuses')}`);
  let times = 0;
  await page.route('**/refused', (route) => {
    times += 1;
    return route.fulfill({ status: 401, headers: { 'evergate-response': 'sign_in_required' } });
  });
  check('an XMLHttpRequest that is refused again is not sent a third time', await status('/refused') === 401 && times === 2, `${times}`);

  await page.evaluate(() => {
    window.told = [];
    const connect = () => {
      const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket');
      socket.onmessage = (event) => told.push(event.data);
      socket.onclose = (event) => { told.push(event.code); connect(); };
    };
    connect();
  });
  await page.waitForFunction(() => told.length === 1);
  await endSession();
  await signInAgain(page);
  await page.waitForFunction(() => told.length >= 3);
  check('a WebSocket tells of its end when another one can be opened', await page.evaluate(() => told.join() === 'maya,1008,maya'), await page.evaluate(() => told.join()));

  await endSession();
  const declined = page.evaluate(() => fetch('/declined').then((r) => r.status));
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  check('who does not want to sign in lets the page know', await declined === 401);
  await page.close();

  const other = await open(/Maya/);
  await endSession({ atProvider: true });
  other.evaluate(() => fetch('/foreign', { method: 'POST', body: "Maya's" })).catch(() => {});
  const reloaded = other.waitForEvent('load');
  await signInAgain(other, /Tom/);
  await reloaded;
  await other.waitForFunction(() => fetch('/oauth2/userinfo').then((r) => r.json()).then(({ user }) => user === 'tomas'));
  check("nothing of one user is sent as another's", sent('/foreign') === 0);
  check('no error is thrown', errors.length === 0, errors.join('; '));
}

// Nobody has ever signed in here: no session has ended.
async function visitAnonymously() {
  const page = await (await browser.newContext()).newPage();
  const asked = page.getByRole('dialog').waitFor({ timeout: 0 }).then(() => 'asked', () => {});
  await page.goto('http://public.test/');
  const found = page.evaluate(async () => {
    const { status } = await fetch('/api');
    const closed = await new Promise((done) => { new WebSocket('ws://public.test/').onclose = ({ code }) => done(code); });
    const failed = await new Promise((done) => { new EventSource('/api').onerror = () => done('failed'); });
    return [typeof fetch.prototype, status, closed, failed].join();
  });
  const told = await Promise.race([found, asked]);
  check('an anonymous visitor is told of refusals, and nothing of a session', told === 'undefined,401,1006,failed', told);
  await page.close();
}

try {
  await visitAnonymously();
  await visit();
} catch (error) {
  check('the visit goes to its end', false, error.stack);
} finally {
  await browser.close();
  demo.kill();
  app.close();
  app.closeAllConnections();
}
process.exit(failures.length === 0 ? 0 : 1);
