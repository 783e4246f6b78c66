// Makes a personal access token in a real browser as a person does, and as a script of the app of the same origin tries to.
//
//   node tokens.mjs ORIGIN COOKIE          COOKIE is name=value of a user of ORIGIN, which is on loopback, as Fetch metadata demand
//
// Prints what became of each, as JSON. The browser is CHROMIUM, or /usr/bin/chromium.

import { chromium } from 'playwright-core';

const [origin, cookie] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// A form as the page of tokens has it, sent by a script into this window or into a frame.
async function submit(name, into) {
  const form = document.createElement('form');
  form.method = 'post';
  form.action = '/oauth2/tokens';
  form.innerHTML = `<input name="name" value="${name}"><input name="days" value="1">`;
  document.body.append(form);
  if (into === 'frame') {
    const frame = document.createElement('iframe');
    frame.name = 'into';
    document.body.append(frame);
    form.target = 'into';
    const loaded = new Promise((done) => { frame.onload = done; });
    form.submit();
    await loaded;
  } else {
    form.submit();
  }
}

const told = {};
try {
  const context = await browser.newContext();
  // However slow the machine is.
  context.setDefaultTimeout(240_000);
  const [name, value] = cookie.split('=');
  await context.addCookies([{ name, value, url: origin, httpOnly: true, sameSite: 'Lax' }]);
  const page = await context.newPage();
  await page.goto(`${origin}/oauth2/tokens`);
  await page.fill('input[name=name]', 'by hand');
  await page.click('text=Make a token');
  told.made = await page.textContent('code');

  await page.goto(`${origin}/app`);
  told.fetch = await page.evaluate(async () => (await fetch('/oauth2/tokens', { method: 'POST', body: new URLSearchParams({ name: 'by fetch', days: 1 }) })).status);
  await page.evaluate(([submitting]) => new Function(`return (${submitting})('by frame', 'frame')`)(), [submit.toString()]);
  await page.goto(`${origin}/app`);
  await Promise.all([
    page.waitForURL('**/oauth2/tokens'),
    page.evaluate(([submitting]) => { new Function(`(${submitting})('by script', 'window')`)(); }, [submit.toString()]),
  ]);
  told.script = await page.title();

  // The app opens the page, its user makes a token there, and the app looks into its window.
  await page.goto(`${origin}/app`);
  const [opened] = await Promise.all([context.waitForEvent('page'), page.evaluate(() => { window.opened = window.open('/oauth2/tokens'); })]);
  await opened.fill('input[name=name]', 'in a window');
  await opened.click('text=Make a token');
  await opened.waitForSelector('code');
  told.seal = await page.evaluate(async () => (await fetch('/oauth2/tokens')).status);
  told.opener = await page.evaluate(() => {
    try {
      return window.opened.document.body.innerText;
    } catch (error) {
      return error.name;
    }
  });
  await page.goto(`${origin}/oauth2/tokens`);
  told.names = await page.locator('.list strong').allTextContents();
} finally {
  await browser.close();
}
console.log(JSON.stringify(told));
