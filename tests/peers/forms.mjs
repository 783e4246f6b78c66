// A form that meets the end of its session, in a real browser: kept, offered after the login, and sent once.
//
//   node forms.mjs EVERGATE GATEWAY APP        host:port of each; the browser finds forms.test at the first
//
// It prints a line for each check and ends with 1 if one failed. The browser is CHROMIUM, or /usr/bin/chromium.

import { check, exitCode, judge, launch } from './looks.mjs';

const [, gateway, app] = process.argv.slice(2);
const url = 'http://forms.test';
const browser = await launch({ 'forms.test': gateway });
const received = async () => (await fetch(`http://${app}/received`)).json();

async function filled(context) {
  const page = await context.newPage();
  await page.goto(`${url}/form`);
  await page.getByLabel('Title').fill('A day');
  await page.getByLabel('Text').fill('Typed for an hour, with ü & "quotes"');
  await page.getByLabel('Password').fill('hunter2-hunter2');
  return page;
}

// As another tab would.
const endSession = (page) => page.evaluate(() => fetch('/oauth2/sign_out', { method: 'POST', redirect: 'manual' }));

async function visit(locale, send, discard, gone) {
  const context = await browser.newContext({ locale, bypassCSP: true });
  context.setDefaultTimeout(120_000);
  const page = await filled(context);
  const before = (await received()).length;
  await endSession(page);
  await page.getByRole('button', { name: 'Save' }).click();
  await page.waitForURL(`${url}/oauth2/kept_post?id=*`);
  check(`${locale}: the login leads to our page, and nothing has reached the app`, (await received()).length === before);
  const text = await page.content();
  check(`${locale}: the page names the fields and shows no value`, ['title', 'text', 'password'].every((name) => text.includes(`<div>${name}</div>`)) && !/hunter2|Typed for an hour/.test(text), text);
  await judge(page, `the page of a kept form in ${locale}`);
  await page.keyboard.press('Tab');
  check(`${locale}: the first stop of the keyboard is the button that sends`, await page.evaluate(() => document.activeElement.textContent) === send);
  await page.getByRole('button', { name: send, exact: true }).click();
  await page.waitForURL(`${url}/saved`);
  const saved = (await received()).slice(before);
  check(`${locale}: the app got it once, as it was typed, with its own cookies`, saved.length === 1 && new URLSearchParams(saved[0].body).get('text') === 'Typed for an hour, with ü & "quotes"' && saved[0].cookie.includes('strict=1'), JSON.stringify(saved));
  check(`${locale}: and none of ours`, !saved[0]?.cookie.includes('evergate'), JSON.stringify(saved));
  await page.goBack();
  await page.getByRole('heading', { name: gone }).waitFor();
  check(`${locale}: who goes back finds nothing to send`, (await received()).length === before + 1);

  const other = await filled(context);
  await endSession(other);
  await other.getByRole('button', { name: 'Save' }).click();
  await other.getByRole('button', { name: discard, exact: true }).click();
  await other.waitForURL(`${url}/form`);
  check(`${locale}: who discards it is back at the form, and nothing is sent`, (await received()).length === before + 1);
  await context.close();
}

try {
  await visit('en-GB', 'Send', 'Discard', 'Nothing is kept any more');
  await visit('de-AT', 'Senden', 'Verwerfen', 'Nichts mehr aufbewahrt');
} catch (error) {
  const shown = await Promise.all(browser.contexts().flatMap((context) => context.pages()).map(async (page) => `${page.url()} ${(await page.locator('body').innerText({ timeout: 1000 }).catch(() => '')).slice(0, 300)}`));
  check('the visit goes to its end', false, `${error.stack}\n${shown.join('\n')}`);
} finally {
  await browser.close();
}
process.exit(exitCode());
