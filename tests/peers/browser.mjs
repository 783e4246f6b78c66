// Drives a real browser through `evergate demo`: login, renewals under the user's eyes, a stream that outlives
// them, a second tab, logout, and what the pages are like for a screen reader.
//
//   node browser.mjs URL [DIRECTORY]        URL is what the demo prints; screenshots go into DIRECTORY
//
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const [url, directory] = process.argv.slice(2);
if (!url) {
  console.error('usage: node browser.mjs URL [DIRECTORY]');
  process.exit(2);
}
if (directory) mkdirSync(directory, { recursive: true });

// Two renewals take about 45 s: tokens live 30 s and are renewed up to 10 s before they expire.
const RENEWALS = { timeout: 90_000 };

const failures = [];
function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || !detail ? '' : `: ${detail}`}`);
  if (!holds) failures.push(what);
}

const shoot = async (page, name) => directory && page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });

async function accessible(page, name) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  check(`${name} has no serious accessibility violation`, grave.length === 0, grave.map(({ id, nodes }) => `${id} at ${nodes.map(({ target }) => target).join(', ')}`).join('; '));
  for (const { id, impact, nodes } of violations.filter((one) => !grave.includes(one))) console.log(`note ${name}: ${impact} ${id} at ${nodes.map(({ target }) => target).join(', ')}`);
}

// A script of the app learns by 401 that its user has signed out; the browser writes that to the console, and it
// is as it should be; and so is the end of the stream of a page whose user signs out, if the browser sees it before it has
// left the page. Everything else that is written there is a fault.
const complaints = [];
function listen(page) {
  page.on('console', (message) => {
    const isCutStream = message.text().includes('ERR_INCOMPLETE_CHUNKED_ENCODING') && message.location().url.endsWith('/clock');
    if (message.type() === 'error' && !message.text().includes('status of 401') && !isCutStream) complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(error.message));
}

const who = (page) => page.locator('#name');
const provider = (page) => page.getByRole('heading', { name: 'Who are you today?' });
const streamSeconds = (page) => page.locator('#stream').textContent().then((text) => Number(/same connection for (\d+) s/.exec(text)?.[1] ?? NaN));

async function visit(context) {
  const page = await context.newPage();
  listen(page);
  let streams = 0;
  page.on('request', (request) => { if (new URL(request.url()).pathname === '/clock') streams += 1; });

  await page.goto(url);
  await provider(page).waitFor();
  check('a stranger is sent to the provider', new URL(page.url()).origin !== new URL(url).origin);
  await shoot(page, 'provider');
  await accessible(page, 'the page of the provider');

  await page.getByRole('link', { name: /Maya/ }).click();
  await page.waitForURL(`${url}/`);
  await page.waitForFunction(() => document.querySelector('#name').textContent === 'maya');
  check('whoever is chosen is back at the app, which knows the name', true);
  await page.waitForFunction(() => /same connection/.test(document.querySelector('#stream').textContent));
  await shoot(page, 'app');
  await accessible(page, 'the page of the app');

  const [before, opened] = [await streamSeconds(page), streams];
  await page.waitForFunction(() => Number(document.querySelector('#renewals').textContent) >= 2, undefined, RENEWALS);
  check('two renewals happen while the page is open', true);
  const clock = await page.locator('#clock').textContent();
  await page.waitForFunction((shown) => document.querySelector('#clock').textContent !== shown, clock);
  const after = await streamSeconds(page);
  check('the stream is still the first connection, and goes on', streams === opened && opened === 1 && after > before, `${opened} then ${streams} connections, ${before} s then ${after} s`);
  check('nobody noticed: the page was not left', await who(page).textContent() === 'maya');
  await shoot(page, 'renewed');

  const second = await context.newPage();
  listen(second);
  await second.goto(url);
  await second.waitForFunction(() => document.querySelector('#name').textContent === 'maya');
  check('a second tab is signed in at once', true);
  await second.close();

  // As if typed: the browser says that no page of ours asked for it, so the user is asked.
  const typed = await context.newPage();
  listen(typed);
  await typed.goto(`${url}/oauth2/sign_out`);
  await typed.getByRole('heading', { name: 'Sign out?' }).waitFor();
  check('who types the address of the logout is asked first', await typed.getByRole('button', { name: 'Sign out' }).isVisible());
  await shoot(typed, 'sign-out-question');
  await accessible(typed, "Evergate's own page");
  await typed.close();

  // The answer to the logout comes only after a script of the page has learned that its session is over: a page that
  // reloads itself at that would call off its own way to the signed-out page.
  const told = page.waitForResponse((response) => response.status() === 401);
  await page.route('**/oauth2/sign_out', async (route) => {
    const response = await route.fetch({ maxRedirects: 0 });
    await told;
    await route.fulfill({ response });
  }, { times: 1 });
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Signed out' }).waitFor();
  check('signing out ends at a page that says so', new URL(page.url()).pathname === '/oauth2/signed_out');
  await shoot(page, 'signed-out');
  await page.getByRole('link', { name: 'Sign in again' }).click();
  await provider(page).waitFor();
  check('after signing out the provider asks for a person again', true);
  await page.goto(url);
  await provider(page).waitFor();
  check('and so it does when the app is opened once more', true);

  await page.getByRole('link', { name: /Tom/ }).click();
  await page.waitForFunction(() => document.querySelector('#name').textContent === 'tomas');
  check('another person can sign in', true);

  // The question's button posts from a page whose policy allows little, through a redirect to the provider.
  await page.goto(`${url}/oauth2/sign_out`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Signed out' }).waitFor();
  check('the button of the question signs out', true);
}

// The other looks: dark, and as narrow as a telephone.
async function otherLooks(browser) {
  const context = await browser.newContext({ colorScheme: 'dark', viewport: { width: 390, height: 844 } });
  const page = await context.newPage();
  listen(page);
  await page.goto(url);
  await provider(page).waitFor();
  await shoot(page, 'provider-dark');
  await accessible(page, 'the page of the provider, dark and narrow,');
  await page.getByRole('link', { name: /Maya/ }).click();
  await page.waitForFunction(() => document.querySelector('#name')?.textContent === 'maya');
  await page.waitForFunction(() => /same connection/.test(document.querySelector('#stream').textContent));
  await shoot(page, 'app-dark');
  await accessible(page, 'the page of the app, dark and narrow,');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check('a narrow screen does not scroll sideways', wide <= 0, `${wide} px too wide`);
  await page.goto(`${url}/oauth2/sign_out`);
  await shoot(page, 'sign-out-question-dark');
  await accessible(page, "Evergate's own page, dark and narrow,");
  await context.close();
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  await visit(await browser.newContext());
  await otherLooks(browser);
} catch (error) {
  check('the visit goes to its end', false, error.message);
  for (const [at, page] of browser.contexts().flatMap((context) => context.pages()).entries()) await shoot(page, `failed-${at}`).catch(() => {});
} finally {
  await browser.close();
}
check('the console holds no error', complaints.length === 0, complaints.join('; '));
process.exit(failures.length === 0 ? 0 : 1);
