// The report in a real browser: nothing is requested, nothing is reported as an error, and it fits desktop and phone in light and dark.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeReport } from '../../src/report/write-report.ts';
import { syntheticResults, writeSyntheticStudy } from '../unit/study-fixture.ts';

const CANDIDATES = [
  process.env['CHROME_PATH'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];
const executablePath = CANDIDATES.find((path) => path !== undefined && existsSync(path));
if (executablePath === undefined)
  console.warn('report-browser.test.ts is skipped: no Chromium or Chrome was found; set CHROME_PATH to one to run it.');

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

interface Facts {
  readonly overflow: number;
  readonly contrast: number;
  readonly dimContrast: number;
  readonly isDark: boolean;
  readonly headings: readonly string[];
  readonly brokenLinks: number;
  readonly emptyCharts: number;
  readonly charts: number;
  readonly notANumber: boolean;
  readonly unnamedRegions: number;
}

/** Runs in the page, whose types this project does not load. Opens what is folded, then measures. */
const LOOK = String.raw`(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const d of all('details')) d.open = true;
  // WCAG 2 relative luminance of an rgb() colour
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((v) => {
      const c = Number(v) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = luminance(getComputedStyle(document.body).backgroundColor);
  const contrast = (element) => {
    const text = luminance(getComputedStyle(element).color);
    return (Math.max(text, background) + 0.05) / (Math.min(text, background) + 0.05);
  };
  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    contrast: contrast(document.body),
    dimContrast: contrast(document.querySelector('.sub')),
    isDark: background < 0.5,
    headings: all('h2').map((h) => h.textContent),
    brokenLinks: all('nav a').filter((l) => !document.querySelector(l.getAttribute('href'))).length,
    emptyCharts: all('main svg[role=img]').filter((s) => s.getBoundingClientRect().height < 50).length,
    charts: all('main svg[role=img]').length,
    notANumber: /NaN|undefined|Infinity/.test(document.querySelector('main').textContent),
    unnamedRegions: all('.scroll').filter((s) => !s.getAttribute('aria-label')).length,
  };
})()`;

describe.skipIf(executablePath === undefined)('report.html in a browser', () => {
  let directory: string;
  let browser: Browser;
  let url: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mendset-browser-'));
    await writeSyntheticStudy(directory, syntheticResults([43, 44], [0.1, 0.3, 0.5]));
    url = pathToFileURL((await writeReport(directory)).html).href;
    browser = await chromium.launch({ executablePath: executablePath as string, args: ARGUMENTS });
  });
  afterAll(async () => {
    await browser?.close();
    await rm(directory, { recursive: true, force: true });
  });

  interface Opened {
    readonly page: Page;
    readonly requests: string[];
    readonly problems: string[];
  }

  async function open(width: number, colorScheme: 'light' | 'dark'): Promise<Opened> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const requests: string[] = [];
    const problems: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
    });
    await page.goto(url);
    return { page, requests, problems };
  }

  for (const [name, width, scheme] of [
    ['desktop, light', 1280, 'light'],
    ['desktop, dark', 1280, 'dark'],
    ['phone, light', 390, 'light'],
    ['phone, dark', 360, 'dark'],
  ] as const) {
    it(`${name}: whole, quiet, readable and no wider than the window`, async () => {
      const { page, requests, problems } = await open(width, scheme);
      expect(requests.filter((r) => !r.startsWith('data:'))).toEqual([url]);
      expect(problems).toEqual([]);
      const facts = (await page.evaluate(LOOK)) as Facts;
      expect(facts).toMatchObject({ isDark: scheme === 'dark', brokenLinks: 0, emptyCharts: 0, notANumber: false, unnamedRegions: 0 });
      expect(facts.overflow).toBeLessThanOrEqual(0);
      expect(facts.contrast).toBeGreaterThan(7);
      expect(facts.dimContrast).toBeGreaterThan(4.5);
      expect(facts.charts).toBeGreaterThan(2);
      expect(facts.headings).toEqual(
        expect.arrayContaining([
          'In short',
          'Which selector with which repair: demo',
          'The pool and what was chosen of it',
          'What the numbers mean',
          'All cells',
        ]),
      );
      await page.close();
    });
  }

  it('saves every table as CSV with the exact values, by keyboard alone', async () => {
    const { page, problems } = await open(1280, 'light');
    const tables = (await page.evaluate("document.querySelectorAll('main table').length")) as number;
    expect(await page.evaluate("document.querySelectorAll('button.csv').length")).toBe(tables);
    await page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
    const download = page.waitForEvent('download', { timeout: 5000 });
    await page.focus('table[data-measure=ops] >> xpath=ancestor::div[1]/following-sibling::button[1]');
    await page.keyboard.press('Enter');
    const file = await download;
    expect(file.suggestedFilename()).toMatch(/^ops-0-to-1-subset-10.*\.csv$/);
    const [header, first] = (await readFile((await file.path()) as string, 'utf8')).split('\r\n');
    expect(header).toBe('selector,dapt,dapt+kl,dpo,irepair,irepair+kl');
    const ops = syntheticResults([43, 44], [0.1, 0.3, 0.5])
      .filter((c) => c.selector === 'random' && c.repair === 'dapt' && c.proportion === 0.1)
      .map((c) => c.metrics?.ops as number);
    const [name, dapt] = (first as string).split(',');
    expect(name).toBe('random');
    expect(Number(dapt?.split(' ')[0])).toBeCloseTo(ops.reduce((a, b) => a + b, 0) / ops.length, 12);
    expect(problems).toEqual([]);
    await page.close();
  });

  it('shows toxic text only after a click, and is read from the keyboard', async () => {
    const { page } = await open(1280, 'light');
    const text = page.locator('#samples td.text').first();
    expect(await text.isVisible()).toBe(false);
    await page.locator('#samples > details > summary').focus();
    await page.keyboard.press('Enter');
    await page.locator('#samples details details > summary').first().click();
    expect(await text.isVisible()).toBe(true);
    await page.reload();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.className')).toBe('skip');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('location.hash')).toBe('#main');
    await page.close();
  });

  it('prints in black on white without what only a screen needs', async () => {
    const { page } = await open(1280, 'dark');
    await page.emulateMedia({ media: 'print' });
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)');
    expect(await page.locator('nav').isVisible()).toBe(false);
    expect(await page.locator('button.csv').first().isVisible()).toBe(false);
    // what is folded on the screen to look up later is there on paper; what readers must ask for is not
    const hidden = (selector: string) =>
      page.evaluate(
        `[...document.querySelectorAll('${selector}')].filter((t) => !t.checkVisibility({ contentVisibilityAuto: true })).length`,
      );
    expect(await page.locator('details.print table').count()).toBeGreaterThan(3);
    expect(await hidden('details.print table')).toBe(0);
    expect(await hidden('#samples table')).toBe(await page.locator('#samples table').count());
    expect((await page.pdf({ format: 'A4' })).length).toBeGreaterThan(20_000);
    await page.close();
  });

  it('names every chart for a screen reader, and every table has a caption and headed rows', async () => {
    const { page } = await open(390, 'light');
    const unnamed = await page.evaluate(`[...document.querySelectorAll('main svg[role=img]')].filter((s) =>
      s.getAttribute('aria-labelledby').split(' ').some((id) => !document.getElementById(id)?.textContent)).length`);
    expect(unnamed).toBe(0);
    const bare = await page.evaluate(
      `[...document.querySelectorAll('main table')].filter((t) => !t.caption || !t.querySelector('tbody th[scope=row]')).length`,
    );
    expect(bare).toBe(0);
    const ids = (await page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")) as string[];
    expect(new Set(ids).size).toBe(ids.length);
    await page.close();
  });

  it('texts of the models are shown as text, never as markup', async () => {
    const { page } = await open(1280, 'light');
    expect(await page.evaluate("document.querySelectorAll('#samples b').length")).toBe(0);
    expect(await page.evaluate("document.querySelector('#samples em').textContent")).toContain('<b>person</b>');
    const embedded = await page.evaluate("JSON.parse(document.getElementById('results').textContent).length");
    expect(embedded).toBe(1 + 2 * 5 * (1 + 5 * 3));
    await page.close();
  });
});
