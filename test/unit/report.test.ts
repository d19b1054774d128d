import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeReport } from '../../src/report/write-report.ts';
import type { CellResult } from '../../src/study/cell-result.ts';
import type { TuneResult } from '../../src/study/tune.ts';
import { syntheticResults, writeSyntheticStudy } from './study-fixture.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mendset-report-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** The text of each table cell of the matrix for one measure: rows of [selector, ...numbers by repair]. */
function matrix(html: string, measure: string): { row: string; values: number[] }[] {
  const table = new RegExp(`<table data-measure="${measure.replaceAll('.', '\\.')}">(.*?)</table>`, 's').exec(html)?.[1] ?? '';
  return [...table.matchAll(/<tr><th scope="row">(.*?)<\/th>(.*?)<\/tr>/g)].map(([, row, cells]) => ({
    row: row as string,
    values: [...(cells as string).matchAll(/<td[^>]*><data value="([^"]+)">/g)].map((m) => Number(m[1])),
  }));
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('report', () => {
  for (const seeds of [[43], [43, 44, 46]]) {
    it(`shows the numbers of results.jsonl, ${seeds.length} seed(s)`, async () => {
      const results = syntheticResults(seeds);
      await writeSyntheticStudy(directory, results);
      const files = await writeReport(directory);
      const html = await readFile(files.html, 'utf8');
      const of = (selector: string, repair: string, read: (c: CellResult) => number | null | undefined) =>
        mean(results.filter((c) => c.repair === repair && c.selector === selector).map((c) => read(c) as number));
      const repairs = ['dapt', 'dapt+kl', 'dpo', 'irepair', 'irepair+kl'];
      const reads: [string, (c: CellResult) => number | null | undefined][] = [
        ['toxicity.repair', (c) => c.figures['toxicity.repair']?.value],
        ['wikitext2.tokenPpl', (c) => c.figures['wikitext2.tokenPpl']?.value],
        ['lambada.runningPpl', (c) => c.figures['lambada.runningPpl']?.value],
        ['ops', (c) => c.metrics?.ops],
        ['rps', (c) => c.metrics?.rps],
        ['res', (c) => c.metrics?.res],
      ];
      for (const [measure, read] of reads) {
        const rows = matrix(html, measure);
        expect(rows.map((r) => r.row)).toEqual(['random', 'k-center', 'grand', 'ccs', 'saps', 'all the data']);
        for (const { row, values } of rows) {
          expect(values).toHaveLength(5);
          values.forEach((value, i) => {
            expect(value).toBeCloseTo(of(row === 'all the data' ? 'full' : row, repairs[i] as string, read), 12);
          });
        }
      }
    });
  }

  it('every displayed number can be recomputed from the results', async () => {
    const results = syntheticResults();
    await writeSyntheticStudy(directory, results);
    // sentences, the counts of the map and the ranking at other weights have tests of their own
    const html = (await readFile((await writeReport(directory)).html, 'utf8'))
      .replaceAll(/<p class="answer">.*?<\/p>/gs, '')
      .replace(/<section id="map".*?<\/section>/s, '')
      .replace(/<section id="weights".*?<\/section>/s, '');
    const known = new Set<string>();
    const collect = (value: unknown): void => {
      if (typeof value === 'number') known.add(value.toPrecision(9));
      else if (typeof value === 'object' && value !== null) Object.values(value).forEach(collect);
    };
    collect(results);
    for (const c of results) {
      known.add(((c.repairRun?.flops ?? 0) / 1e12).toPrecision(9));
      for (let i = 0; i < 12; i++) known.add(Math.min(1, (c.figures['toxicity.repair']?.value ?? 0) + i / 100).toPrecision(9));
    }
    for (const selector of ['random', 'k-center', 'grand', 'ccs', 'saps'])
      known.add(mean(results.filter((c) => c.selector === selector).map((c) => c.metrics?.ops as number)).toPrecision(9));
    const shown = [...html.matchAll(/<data value="([^"]+)">/g)].map((m) => Number(m[1]));
    expect(shown.length).toBeGreaterThan(300);
    expect(shown.filter((v) => v !== 0 && !known.has(v.toPrecision(9)))).toEqual([]);
  });

  it('shows what tuning found, and where that stands in the whole grid', async () => {
    const results = syntheticResults([43, 44], [0.1, 0.5]).filter((c) => c.kind !== 'full');
    await writeSyntheticStudy(directory, results);
    const arms = results.filter((c) => c.kind === 'subset' && c.seed === 43);
    const value = (c: (typeof arms)[number]) =>
      mean(
        results
          .filter((r) => r.selector === c.selector && r.repair === c.repair && r.proportion === c.proportion)
          .map((r) => r.metrics?.ops as number),
      );
    const ranked = [...arms].sort((a, b) => value(b) - value(a));
    const second = ranked[1] as (typeof arms)[number];
    const { model, repair, selector, proportion, boundaryRatio } = second;
    const arm = { model, repair, selector, proportion, boundaryRatio, title: 'the second best' };
    const tune: TuneResult = {
      objective: 'ops',
      recommendation: arm,
      value: value(second),
      confidence: 0.8125,
      finalists: [{ ...arm, mean: value(second), sd: 0.015625, seeds: 2, costSeconds: 3.5 }],
      rounds: [{ fidelity: 0.25, arms: 50, seeds: 1, work: 12.5, best: 'the second best', seconds: 31 }],
      seconds: 31,
      gridSeconds: 1000,
      cells: 51,
      gridCells: 100,
      workShare: 0.1875,
    };
    await writeFile(join(directory, 'tune.json'), JSON.stringify(tune));
    const { html, text } = await writeReport(directory);
    const page = await readFile(html, 'utf8');
    expect(page).toContain('<h2 id="tune-h">What to use: demo</h2>');
    for (const number of [tune.value, 0.8125, 0.015625, 0.1875, 12.5, 3.5, value(ranked[0] as (typeof arms)[number])])
      expect(page).toContain(`<data value="${number}">`);
    expect(await readFile(text, 'utf8')).toMatch(
      /- The folder holds the whole grid too: there it is number 2 of 50, behind .* with 0\.\d+\./,
    );
    // a grid that is not whole tells no place in it
    await writeSyntheticStudy(directory, results.slice(0, -1));
    await writeReport(directory);
    expect(await readFile(text, 'utf8')).not.toContain('whole grid');
    await writeFile(join(directory, 'tune.json'), '{"rounds": 3}');
    await expect(writeReport(directory)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('answers the research questions with numbers that follow from the results', async () => {
    const results = syntheticResults([43, 44, 46], [0.1, 0.5, 0.9]);
    await writeSyntheticStudy(directory, results);
    const html = await readFile((await writeReport(directory)).html, 'utf8');
    const answers = [...html.matchAll(/<(?:p|ul) class="(?:lead )?answer">(.*?)<\/(?:p|ul)>/gs)].map(([, body]) => body as string);
    const numbers = (body: string) => [...body.matchAll(/<data value="([^"]+)">/g)].map((m) => Number(m[1]));
    const opsOf = (selector: string, repair: string, proportion: number) =>
      results
        .filter((c) => c.selector === selector && c.repair === repair && c.proportion === proportion)
        .map((c) => c.metrics?.ops as number);
    const repairs = ['dapt', 'dapt+kl', 'dpo', 'irepair', 'irepair+kl'];
    const selectors = ['random', 'k-center', 'grand', 'ccs', 'saps'];
    const shares = [0.1, 0.5, 0.9];
    const all = shares.flatMap((p) => selectors.flatMap((s) => repairs.map((r) => ({ s, r, p, mean: mean(opsOf(s, r, p)) }))));
    const span = (values: readonly number[]) => Math.max(...values) - Math.min(...values);
    const [first = '', second = '', third = ''] = answers;
    const winners = repairs.map((r) => Math.max(...all.filter((g) => g.r === r).map((g) => g.mean)));
    const within = (key: (g: (typeof all)[number]) => string) => {
      const keys = [...new Set(all.map(key))];
      return mean(keys.map((k) => span(all.filter((g) => key(g) === k).map((g) => g.mean))));
    };
    const variances = all.map(({ s, r, p, mean: m }) => opsOf(s, r, p).reduce((sum, v) => sum + (v - m) ** 2, 0) / 2);
    const expected1 = [...winners, within((g) => g.r + g.p), within((g) => g.s + g.p), Math.sqrt(mean(variances))];
    expect(numbers(first)).toHaveLength(expected1.length);
    numbers(first).forEach((v, i) => {
      expect(v).toBeCloseTo(expected1[i] as number, 12);
    });
    const bySelector = selectors.map((s) => ({ s, mean: mean(all.filter((g) => g.s === s).map((g) => g.mean)) }));
    const top = bySelector.reduce((a, b) => (b.mean > a.mean ? b : a));
    const seconds = mean(results.filter((c) => c.selector === top.s).map((c) => c.selection?.seconds as number));
    const repairSeconds = mean(results.filter((c) => c.kind === 'subset').map((c) => c.repairRun?.seconds as number));
    expect(second).toContain(`Over all repairs ${top.s} is best`);
    const expected2 = [top.mean, seconds, seconds / (seconds + repairSeconds), bySelector[0]?.mean as number, 0.0004];
    numbers(second).forEach((v, i) => {
      expect(v).toBeCloseTo(expected2[i] as number, 9);
    });
    expect(third).toMatch(/dapt with random: (10|50|90) % of the data is enough|no share comes near/);
  });

  it('draws the map of the pool with counts that follow from it', async () => {
    await writeSyntheticStudy(directory, syntheticResults());
    const html = await readFile((await writeReport(directory)).html, 'utf8');
    const section = /<section id="map".*?<\/section>/s.exec(html)?.[0] ?? '';
    expect(section).toContain('random 50 %');
    const rows = [...section.matchAll(/<tr><th scope="row">(.*?)<\/th>(.*?)<\/tr>/g)].map(([, name, cells]) => [
      name,
      ...[...(cells as string).matchAll(/<data value="([^"]+)">/g)].map((m) => Number(m[1])),
    ]);
    // 40 records in 4 clusters by turns, the distance grows with the index: the boundary quarter of each cluster are its last three
    expect(rows).toEqual([
      ['random 50 %', 20, 0, 5, 5, 5, 5],
      ['saps 50 % ρ 1', 20, 0.6, 5, 5, 5, 5],
    ]);
    expect([...section.matchAll(/<svg class="map"/g)]).toHaveLength(3);
    // every record once on the cluster panel, and once on each other panel
    expect([...section.matchAll(/h0/g)]).toHaveLength(3 * 40);
  });

  it('is one file without request, and says that a demo is a demo', async () => {
    await writeSyntheticStudy(directory, syntheticResults());
    const files = await writeReport(directory);
    const html = await readFile(files.html, 'utf8');
    expect(html).not.toMatch(/<(link(?! rel="icon" href="data:)|img|iframe|object|embed)\b|\bsrc=|url\(|@import|https?:/);
    expect([...html.matchAll(/<script\b([^>]*)>/g)].map((m) => m[1])).toEqual([' type="application/json" id="results"', '']);
    expect(html).not.toMatch(/fetch\(|XMLHttpRequest|import\(|localStorage|innerHTML/);
    expect(html).toContain('Demonstration.');
    expect(await readFile(files.text, 'utf8')).toContain('Demonstration');
    expect([...html.matchAll(/<table\b/g)]).toHaveLength([...html.matchAll(/<caption>/g)].length);
    for (const [svg] of html.matchAll(/<svg viewBox="0 0.*?<\/svg>/gs))
      expect(svg).toMatch(/<title id="[^"]+">.+<\/title><desc id="[^"]+">.+<\/desc>/);
    const plain = syntheticResults().map((r) => ({ ...r, study: { name: 'real', demo: false } }));
    await writeSyntheticStudy(directory, plain);
    expect(await readFile((await writeReport(directory)).html, 'utf8')).not.toContain('Demonstration.');
  });

  it('keeps completions folded and escapes them', async () => {
    await writeSyntheticStudy(directory, syntheticResults());
    const html = await readFile((await writeReport(directory)).html, 'utf8');
    const section = /<section id="samples".*?<\/section>/s.exec(html)?.[0] ?? '';
    expect(section).toContain('The &lt;b&gt;person&lt;/b&gt;');
    expect(section).not.toContain('<b>person');
    expect(section.replace(/<details>.*<\/details>/s, '')).not.toContain('something after');
    expect(section).not.toMatch(/<details open/);
  });

  it('embeds the results and writes tables with unscaled values', async () => {
    const results = syntheticResults();
    await writeSyntheticStudy(directory, results);
    const files = await writeReport(directory);
    const html = await readFile(files.html, 'utf8');
    expect(JSON.parse(/id="results">(.*?)<\/script>/s.exec(html)?.[1] ?? '')).toEqual(results);
    const [header, ...lines] = (await readFile(files.csv[0] as string, 'utf8')).trim().split('\r\n');
    const at = (header as string).split(',').indexOf('toxicity.repair');
    expect(lines.map((l) => Number(l.split(',')[at]))).toEqual(results.map((r) => r.figures['toxicity.repair']?.value));
  });

  it('shows failed cells and draws sweeps', async () => {
    const results = syntheticResults([43, 44], [0.1, 0.5, 0.9]);
    const failed: CellResult = {
      ...(results.at(-1) as CellResult),
      key: 'f',
      status: 'failed',
      error: 'the <loss> became NaN',
      figures: {},
      metrics: null,
      selection: null,
      repairRun: null,
    };
    await writeSyntheticStudy(directory, [...results, failed]);
    const html = await readFile((await writeReport(directory)).html, 'utf8');
    expect(html).toContain('the &lt;loss&gt; became NaN');
    expect(html).toContain('How much data is enough');
  });

  it('refuses results of two scorers, and folders without results', async () => {
    const results = syntheticResults();
    const other = { ...(results[0] as CellResult), key: 'x', scorer: { name: 'other', version: '2', weightsHash: '34'.repeat(32) } };
    await writeSyntheticStudy(directory, [...results, other]);
    await expect(writeReport(directory)).rejects.toThrow(/one toxicity scorer/);
    await writeFile(join(directory, 'results.jsonl'), '');
    await expect(writeReport(directory)).rejects.toMatchObject({ code: 'not-found' });
    await expect(writeReport(join(directory, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});
