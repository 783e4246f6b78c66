// What every page of Evergate's own is held to, and a browser for it.

import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';

export const WIDTHS = [280, 768, 1280];
const failures = [];

export function check(what, holds, detail = '') {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || !detail ? '' : `: ${detail}`}`);
  if (!holds) failures.push(what);
}

export const exitCode = () => (failures.length === 0 ? 0 : 1);

// `hosts`: where names are found, as in { 'app.test': '127.0.0.1:80' }. Over plain http browsers send Fetch metadata to such alone that
// they are told to trust.
export const launch = (hosts) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--unsafely-treat-insecure-origin-as-secure=${Object.keys(hosts).map((name) => `http://${name}`).join(',')}`, `--host-resolver-rules=${Object.entries(hosts).map(([name, address]) => `MAP ${name}:80 ${address}`).join(',')}`],
});

// The words of buttons, headings and short remarks that a line of the page that is open breaks within.
export const brokenWords = (page) => page.locator('body').evaluate((body) => {
  const broken = [];
  for (const element of body.querySelectorAll('h1, button, .button, .list li > span, .ends small')) {
    for (const node of element.childNodes) {
      for (const { 0: word, index } of node.nodeType === Node.TEXT_NODE ? node.data.matchAll(/[^\s-]+/g) : []) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        // A user's name in a heading is as long as it is.
        if (!word.includes('@') && new Set([...range.getClientRects()].map(({ top }) => top)).size > 1) broken.push(word);
      }
    }
  }
  return broken;
});

// The page that is open, at each width, and to a screen reader in light and dark. Axe is itself a script, so that the context bypasses
// the policy.
export async function judge(page, name) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 720 });
    const box = await page.locator('main').boundingBox();
    check(`${name} fits ${width} px`, box.x >= 0 && box.x + box.width <= width, JSON.stringify(box));
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(`${name} does not scroll sideways at ${width} px`, beyond <= 0, `${beyond} px`);
    const broken = await brokenWords(page);
    check(`${name} breaks no word of a button at ${width} px`, broken.length === 0, broken.join());
  }
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).analyze();
    check(`${name}, ${colorScheme}, has no accessibility violation`, violations.length === 0, violations.map(({ id }) => id).join());
  }
  check(`${name} is small`, (await page.content()).length <= 20 * 1024);
}
