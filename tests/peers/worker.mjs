// An app whose service worker sends every navigation on (`respondWith(fetch(event.request))`), in a real browser: its user loses the
// session, logs in again, has a form kept, and opens the pages that no worker may read.
//
//   node worker.mjs EVERGATE GATEWAY APP        host:port of each; the browser finds worker.test at the first
//
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { check, exitCode, judge, launch } from './looks.mjs';

const [, gateway, app] = process.argv.slice(2);
const url = 'http://worker.test';
const browser = await launch({ 'worker.test': gateway });
const received = async () => (await fetch(`http://${app}/received`)).json();
const endSession = (page) => page.evaluate(() => fetch('/oauth2/sign_out', { method: 'POST', redirect: 'manual' }));
const isBehindWorker = (page) => page.evaluate(() => navigator.serviceWorker.controller !== null);

async function visit() {
  const context = await browser.newContext({ bypassCSP: true });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  await page.goto(`${url}/form`);
  await page.waitForFunction(() => document.title === 'Behind a worker');

  await endSession(page);
  await page.goto(`${url}/form?again`);
  check('who has lost the session logs in and is back', page.url() === `${url}/form?again` && await isBehindWorker(page), page.url());
  await page.reload();
  check('and the worker sent it on', await isBehindWorker(page));

  await endSession(page);
  await page.goto(`${url}/oauth2/start?rd=/form`);
  check('a login by hand comes back too', page.url() === `${url}/form`, page.url());

  await page.getByLabel('Title').fill('A day');
  await endSession(page);
  await page.getByRole('button', { name: 'Save' }).click();
  await page.waitForURL(`${url}/oauth2/kept_post?id=*`);
  check('a form is kept, and has not reached the app', (await received()).length === 0);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.waitForURL(`${url}/saved`);
  const saved = await received();
  check('and is sent once after the login', saved.length === 1 && new URLSearchParams(saved[0].body).get('title') === 'A day', JSON.stringify(saved));

  await page.goto(`${url}/oauth2/sign_out`);
  await page.getByRole('heading', { name: 'Sign out?' }).waitFor();
  check('who types the address of the logout is asked first', true);

  await page.goto(`${url}/oauth2/`);
  check('the portal is shown', await page.getByRole('heading', { name: 'Your apps' }).isVisible());
  await context.close();
}

// The window is in a sandbox, whose policy the context must not bypass.
async function secrets() {
  const context = await browser.newContext();
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  await page.goto(`${url}/form`);
  await page.waitForFunction(() => document.title === 'Behind a worker');
  await page.goto(`${url}/oauth2/tokens`);
  await page.getByRole('heading', { name: 'In a window of its own' }).waitFor();
  check('the page of the tokens is not shown to the worker', !(await page.content()).includes('name="seal"'));
  const behind = [];
  context.on('response', (response) => response.fromServiceWorker() && behind.push(response.url()));
  const [own] = await Promise.all([context.waitForEvent('page'), page.getByRole('link', { name: 'Open it in a new window' }).click()]);
  await own.getByRole('heading', { name: 'Access tokens' }).waitFor();
  check('it is shown in the window that the page opens', true);
  await own.getByLabel('Name').fill('backup');
  await own.getByRole('button', { name: 'Make a token' }).click();
  await own.getByRole('heading', { name: 'Your new token' }).waitFor();
  check('and makes a token there', (await own.locator('code').textContent()).startsWith('evg_'));
  // The worker would have sent it on, and then it would be refused.
  check('which the worker has not seen', behind.length === 0, behind.join());
  await context.close();
}

async function looks() {
  const context = await browser.newContext({ bypassCSP: true });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  await page.goto(`${url}/form`);
  await page.waitForFunction(() => document.title === 'Behind a worker');
  await page.goto(`${url}/oauth2/sessions`);
  await page.getByRole('heading', { name: 'In a window of its own' }).waitFor();
  await judge(page, 'the page that opens another');
  await context.close();
}

try {
  await visit();
  await secrets();
  await looks();
} catch (error) {
  const shown = await Promise.all(browser.contexts().flatMap((context) => context.pages()).map(async (page) => `${page.url()} ${(await page.locator('body').innerText({ timeout: 1000 }).catch(() => '')).slice(0, 300)}`));
  check('the visit goes to its end', false, `${error.stack}\n${shown.join('\n')}`);
} finally {
  await browser.close();
}
process.exit(exitCode());
