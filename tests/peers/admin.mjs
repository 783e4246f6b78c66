// The pages of the administration in a real browser: at three widths, light and dark, in both languages, without JavaScript, without
// accessibility violations; and what they do when their buttons are pressed.
//
//   node admin.mjs EVERGATE        the binary; screenshots go to the folder EVERGATE_SCREENSHOTS, if it is set
//
// A picture at the width of a desktop is what its window shows, the others are of the whole page.
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';
import { brokenWords } from './looks.mjs';

const [binary] = process.argv.slice(2);
const directory = process.env.EVERGATE_SCREENSHOTS;
if (directory) mkdirSync(directory, { recursive: true });
const failures = [];
function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || !detail ? '' : `: ${detail}`}`);
  if (!holds) failures.push(what);
}

const demo = spawn(binary, ['demo', '--admin'], { stdio: ['ignore', 'pipe', 'ignore'] });
const url = await new Promise((found) => {
  let said = '';
  demo.stdout.on('data', (text) => { said += text; const at = /http:\/\/localhost:\d+/.exec(said); if (at) found(at[0]); });
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const ADMIN = `${url}/oauth2/admin`;

async function signedIn(person, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(240_000);
  const page = await context.newPage();
  await page.goto(ADMIN);
  await page.getByRole('link', { name: person }).click();
  await page.waitForURL(`${ADMIN}**`);
  return { context, page };
}

// A grant with a history, as the list leads to it.
async function grantOf(page, name) {
  await page.goto(`${ADMIN}?name=${name}`);
  return page.locator('.list a').first().getAttribute('href');
}

async function pagesOf(page) {
  return [
    ['signed-in', ADMIN], ['search', `${ADMIN}?name=k`], ['not-renewable', `${ADMIN}?show=not_renewable`],
    ['grant', `${url}${await grantOf(page, 'ben@example.com')}`], ['why', `${ADMIN}/why?name=ben@example.com`],
    ['providers', `${ADMIN}/providers`], ['providers-2', `${ADMIN}/providers?days=2`], ['keys', `${ADMIN}/keys`],
    ['audit', `${ADMIN}/audit`], ['everyone', `${ADMIN}/everyone`],
  ];
}

async function look(locale, colorScheme) {
  const { context, page } = await signedIn('Maya', { locale, colorScheme, javaScriptEnabled: false });
  for (const [name, address] of await pagesOf(page)) {
    for (const width of [280, 768, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      const response = await page.goto(address);
      const what = `${name} in ${locale}, ${colorScheme}, ${width} px`;
      const [box, inner] = [await page.locator('main').boundingBox(), await page.locator('html').evaluate((html) => html.scrollWidth)];
      check(`${what} fits`, box.x >= 0 && box.x + box.width <= width && inner <= width, `${JSON.stringify(box)} ${inner}`);
      const broken = await brokenWords(page);
      check(`${what} breaks no word of a button`, broken.length === 0, broken.join());
      const size = (await response.body()).length;
      check(`${what} is small and in its language`, size <= 20 * 1024 && response.headers()['content-language'] === locale.slice(0, 2), `${size}`);
      if (directory) await page.screenshot({ path: join(directory, `${name}-${locale}-${colorScheme}-${width}.png`), fullPage: width < 1280 });
    }
  }
  await context.close();
}

// Axe is itself a script, which the sandbox of these pages keeps out; the page is given to it as it is, without its policy.
async function read(colorScheme) {
  const { context, page } = await signedIn('Maya', { locale: 'de-DE', colorScheme });
  for (const [name, address] of await pagesOf(page)) {
    const text = await (await context.request.get(address, { headers: { accept: 'text/html', 'accept-language': 'de' } })).text();
    const shown = await context.newPage();
    await shown.setContent(text);
    await shown.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
    const { violations } = await new AxeBuilder({ page: shown }).analyze();
    check(`${name}, ${colorScheme}, has no accessibility violation`, violations.length === 0, violations.map(({ id, nodes }) => `${id} ${nodes[0].html}`).join());
    await shown.close();
  }
  await context.close();
}

// What buttons do, in a page whose origin is its own.
async function act() {
  const { context, page } = await signedIn('Maya', { locale: 'en-US', javaScriptEnabled: false });
  await page.getByLabel(/E-mail address or user name/).fill('lena');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByRole('link', { name: 'lena@example.com' }).first().click();
  await page.getByRole('button', { name: 'Renew now' }).click();
  check('a grant is renewed', await page.getByRole('status').textContent() === 'The grant was renewed.', await page.getByRole('status').textContent());
  await page.getByRole('button', { name: /End all sessions of this user/ }).click();
  check('a user is ended', await page.getByRole('status').textContent() === 'All sessions of the user have ended.');
  await page.getByRole('link', { name: 'What administrators did' }).click();
  await page.getByText(/maya@example\.com \(.*\) ended all sessions of the user$/).waitFor();
  check('and it is audited', true);
  await context.close();
}

// Who is not on call.
async function other() {
  const { context, page } = await signedIn('Tomás', { locale: 'en-US' });
  check('for another user there is no such page', (await page.goto(ADMIN)).status() === 404);
  await context.close();
}

try {
  for (const [locale, colorScheme] of [['de-AT', 'dark'], ['en-US', 'light']]) await look(locale, colorScheme);
  for (const colorScheme of ['light', 'dark']) await read(colorScheme);
  await act();
  await other();
} catch (error) {
  check('nothing goes wrong', false, error.stack);
} finally {
  await browser.close();
  demo.kill();
}
process.exit(failures.length ? 1 : 0);
