// The page where a user chooses among providers, in a real browser: for every width and everybody, by keyboard alone, and what it
// remembers.
//
//   node choice.mjs EVERGATE GATEWAY        host:port, at which the browser finds choice.test
//
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { check, exitCode, judge, launch } from './looks.mjs';

const [, gateway] = process.argv.slice(2);
const url = 'http://choice.test';
const browser = await launch({ 'choice.test': gateway });

async function visit(locale, { address, go, lastUsed }) {
  const context = await browser.newContext({ locale, bypassCSP: true });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  await page.goto(`${url}/page`);
  await judge(page, `the choice in ${locale}`);
  for (const stop of [address, go]) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => document.activeElement.labels?.[0]?.textContent.trim() ?? document.activeElement.textContent);
    check(`${locale}: the keyboard comes to ${stop}`, at === stop, at);
  }
  await page.getByLabel(address).fill('ann@nowhere.example');
  await page.getByRole('button', { name: go }).click();
  check(`${locale}: an address that is nobody's stands there to be corrected`, await page.getByLabel(address).inputValue() === 'ann@nowhere.example');
  await judge(page, `the choice with an address in ${locale}`);
  await page.getByRole('link', { name: 'Partners' }).click();
  await page.waitForURL(`${url}/page`);
  check(`${locale}: the login leads to the page`, true);

  await context.clearCookies({ name: 'evergate_session' });
  await page.goto(`${url}/other`);
  check(`${locale}: the next login asks nothing`, page.url() === `${url}/other`);
  check(`${locale}: and brings a session`, await page.evaluate(() => fetch('/oauth2/userinfo').then((r) => r.ok)));
  await page.evaluate(() => fetch('/oauth2/sign_out', { method: 'POST', redirect: 'manual' }));
  await page.goto(`${url}/page`);
  const first = page.getByRole('listitem').first();
  check(`${locale}: after a sign-out the last one stands first and says so`, (await first.innerText()).includes('Partners') && (await first.innerText()).includes(lastUsed), await first.innerText());
  await judge(page, `the choice with the last one in ${locale}`);
  await context.close();
}

// Without JavaScript, as all of our pages.
async function withoutScripts() {
  const context = await browser.newContext({ locale: 'en-GB', javaScriptEnabled: false });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  await page.goto(`${url}/page`);
  await page.getByLabel('E-mail address').fill('ann@partner.example');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`${url}/page`);
  check('an address leads to its provider without a script', true);
  await context.close();
}

try {
  await visit('en-GB', { address: 'E-mail address', go: 'Continue', lastUsed: 'last used' });
  await visit('de-AT', { address: 'E-Mail-Adresse', go: 'Weiter', lastUsed: 'zuletzt benutzt' });
  await withoutScripts();
} catch (error) {
  const shown = await Promise.all(browser.contexts().flatMap((context) => context.pages()).map(async (page) => `${page.url()} ${(await page.locator('body').innerText({ timeout: 1000 }).catch(() => '')).slice(0, 300)}`));
  check('the visit goes to its end', false, `${error.stack}\n${shown.join('\n')}`);
} finally {
  await browser.close();
}
process.exit(exitCode());
