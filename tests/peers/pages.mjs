// Evergate's own pages in a real browser: at three widths, light and dark, in both languages, without JavaScript, by keyboard alone,
// and one in a frame that opens the login in a window of its own.
//
//   node pages.mjs EVERGATE PORTAL SESSION
//
// EVERGATE is the binary, PORTAL the host:port of one with a portal, which the browser finds as portal.test, SESSION a session's cookie
// there. Screenshots go to the folder EVERGATE_SCREENSHOTS, if it is set.
//
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';
import { brokenWords } from './looks.mjs';

const [binary, portal, session] = process.argv.slice(2);
const directory = process.env.EVERGATE_SCREENSHOTS;
if (directory) mkdirSync(directory, { recursive: true });
const failures = [];
function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || !detail ? '' : `: ${detail}`}`);
  if (!holds) failures.push(what);
}

const app = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://app');
  response.writeHead(200, { 'content-type': 'text/html' });
  response.end(pathname === '/inner' ? '<!doctype html><title>Inner</title><p id="user">inside</p>' : '<!doctype html><title>Outer</title><iframe src="/inner" title="inner"></iframe>');
});
await new Promise((listening) => app.listen(0, '127.0.0.1', listening));
const demo = spawn(binary, ['demo', '--app', `http://127.0.0.1:${app.address().port}`], { stdio: ['ignore', 'pipe', 'ignore'] });
const url = await new Promise((found) => {
  let said = '';
  demo.stdout.on('data', (text) => { said += text; const at = /http:\/\/localhost:\d+/.exec(said); if (at) found(at[0]); });
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--host-resolver-rules=MAP portal.test:80 ${portal}`],
});

const PAGES = [['not-found', '/oauth2/nowhere'], ['sign-out', '/oauth2/sign_out'], ['signed-out', '/oauth2/signed_out'], ['expired', '/oauth2/callback?code=x&state=y'], ['portal', 'http://portal.test/oauth2/']];
// Their origin of their own keeps axe out.
const SANDBOXED = [['sessions', 'http://portal.test/oauth2/sessions'], ['tokens', 'http://portal.test/oauth2/tokens']];
const addressOf = (path) => new URL(path, url).href;
const signIn = (context) => context.addCookies([{ name: 'evergate_session', value: session, url: 'http://portal.test' }]);

async function look(locale, colorScheme) {
  const context = await browser.newContext({ locale, colorScheme, javaScriptEnabled: false });
  context.setDefaultTimeout(240_000);
  await signIn(context);
  const page = await context.newPage();
  for (const [name, path] of [...PAGES, ...SANDBOXED]) {
    for (const width of [280, 768, 1280]) {
      await page.setViewportSize({ width, height: 720 });
      const response = await page.goto(addressOf(path));
      const what = `${name} in ${locale}, ${colorScheme}, ${width} px`;
      const box = await page.locator('main').boundingBox();
      check(`${what} fits`, box.x >= 0 && box.x + box.width <= width, JSON.stringify(box));
      const broken = await brokenWords(page);
      check(`${what} breaks no word of a button`, broken.length === 0, broken.join());
      check(`${what} is small and in its language`, (await response.body()).length <= 20 * 1024 && response.headers()['content-language'] === locale.slice(0, 2));
      if (directory) await page.screenshot({ path: join(directory, `${name}-${locale}-${colorScheme}-${width}.png`) });
    }
  }
  await context.close();
}

// What a screen reader and a keyboard meet. Axe is itself a script.
async function read(colorScheme) {
  const context = await browser.newContext({ locale: 'de-DE', colorScheme, bypassCSP: true });
  context.setDefaultTimeout(240_000);
  await signIn(context);
  const page = await context.newPage();
  for (const [name, path] of PAGES) {
    await page.goto(addressOf(path));
    const { violations } = await new AxeBuilder({ page }).analyze();
    check(`${name}, ${colorScheme}, has no accessibility violation`, violations.length === 0, violations.map(({ id }) => id).join());
  }
  await page.goto(`${url}/oauth2/sign_out`);
  await page.keyboard.press('Tab');
  check('the first stop of the keyboard is the button', await page.evaluate(() => document.activeElement.tagName === 'BUTTON'));
  check('and it can be seen there', await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== 'none'));
  await context.close();
}

// A page of another origin frames the app.
async function frame() {
  const context = await browser.newContext({ locale: 'en-GB' });
  context.setDefaultTimeout(240_000);
  const page = await context.newPage();
  await page.route(`${url}/outer`, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Outer</title><iframe src="/inner" title="inner"></iframe>' }));
  await page.goto(`${url}/outer`);
  const inner = page.frameLocator('iframe');
  await inner.getByRole('heading', { name: 'Sign in' }).waitFor();
  const [opened] = await Promise.all([context.waitForEvent('page'), inner.getByRole('link', { name: 'Sign in in a new window' }).click()]);
  await opened.getByRole('link', { name: 'Maya' }).click();
  await opened.getByRole('heading', { name: 'You are signed in' }).waitFor();
  await opened.close();
  await inner.getByRole('link', { name: 'Try again' }).click();
  await inner.getByText('inside').waitFor();
  check('a frame goes on after a login in a window of its own', true);
  await context.close();
}

try {
  for (const [locale, colorScheme] of [['de-AT', 'dark'], ['en-US', 'light']]) await look(locale, colorScheme);
  for (const colorScheme of ['light', 'dark']) await read(colorScheme);
  await frame();
} catch (error) {
  check('nothing goes wrong', false, error.stack);
} finally {
  await browser.close();
  demo.kill();
  app.close();
}
process.exit(failures.length ? 1 : 0);
