// Has scripts of two origins use an API in a real browser, with the cookie of a user of the API.
//
//   node cors.mjs API PAGES COOKIE          API and PAGES are host:port; COOKIE is name=value of http://app.test
//
// The browser finds app.test at API, and friend.app.test and evil.app.test at PAGES. It prints what each script learned, as JSON.
// The browser is CHROMIUM, or /usr/bin/chromium.

import { chromium } from 'playwright-core';

const [api, pages, cookie] = process.argv.slice(2);
const at = (host, address) => `MAP ${host}:80 ${address}`;
const rules = [at('app.test', api), at('friend.app.test', pages), at('evil.app.test', pages)].join(', ');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--host-resolver-rules=${rules}`],
});

// What a script of the page learns of a response: whether it gets one at all, and what it may read of that.
async function learn([path, options]) {
  try {
    const response = await fetch(`http://app.test${path}`, options);
    return { status: response.status, mark: response.headers.get('evergate-response'), type: response.type, text: await response.text() };
  } catch (error) {
    return { failed: error.name };
  }
}

const json = { 'content-type': 'application/json' };
const REQUESTS = {
  put: ['/api/put', { method: 'PUT', headers: json, body: '{}', credentials: 'include' }],
  anonymous: ['/api/anonymous', { method: 'PUT', headers: json, body: '{}', credentials: 'omit' }],
  unlisted: ['/api/unlisted', { method: 'PATCH', headers: json, body: '{}', credentials: 'include' }],
  simple: ['/api/simple', { method: 'POST', body: 'a form', credentials: 'include' }],
  unseen: ['/api/unseen', { method: 'POST', body: 'a form', credentials: 'include', mode: 'no-cors' }],
};

const told = {};
try {
  const context = await browser.newContext();
  // However slow the machine is.
  context.setDefaultTimeout(240_000);
  const [name, value] = cookie.split('=');
  await context.addCookies([{ name, value, url: 'http://app.test/', httpOnly: true, sameSite: 'Lax' }]);
  for (const host of ['friend.app.test', 'evil.app.test']) {
    const page = await context.newPage();
    await page.goto(`http://${host}/`);
    told[host] = {};
    for (const [what, request] of Object.entries(REQUESTS)) told[host][what] = await page.evaluate(learn, request);
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(told));
