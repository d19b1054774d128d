import type { CellResult } from '../study/cell-result.ts';
import { escapeMarkup } from './markup.ts';
import { SAVE_TABLES } from './save-tables.ts';
import type { Section } from './section.ts';
import { STYLE } from './style.ts';

/** Assembles the page: nothing is loaded from anywhere, the results travel along as JSON, and all that the script does is to save tables. */
export function htmlPage(results: readonly CellResult[], sections: readonly Section[]): string {
  const study = results[0]?.study ?? { name: 'study', demo: false };
  const shown = sections.filter((s) => s.body !== '');
  const demo = study.demo
    ? '<p class="note" role="note"><strong>Demonstration.</strong> This study ran on the small demo model and data that come with mendset. Its figures show that the pipeline works and what a report looks like; they say nothing about how selectors and repairs compare on real language models. A model of a few million parameters predicts ordinary text badly, so its perplexities are far above published ones; what counts here is how far a repair moves them.</p>'
    : '';
  const done = results.filter((c) => c.status === 'done').length;
  const links = shown.map((s) => `<li><a href="#${s.id}">${escapeMarkup(s.title)}</a></li>`).join('');
  const body = shown
    .map((s) => `<section id="${s.id}" aria-labelledby="${s.id}-h"><h2 id="${s.id}-h">${escapeMarkup(s.title)}</h2>${s.body}</section>`)
    .join('\n');
  const json = JSON.stringify(results).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="mendset">
<link rel="icon" href="data:,">
<title>${escapeMarkup(study.name)}: mendset report</title>
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header><h1>${escapeMarkup(study.name)}</h1><p class="sub">Repair-data selection and model repair: ${done} of ${results.length} cells finished.</p>${demo}
<nav aria-label="Contents"><ul>${links}</ul></nav></header>
<main id="main">
${body}
</main>
<footer><p>Every number on this page comes from results.jsonl, which is also embedded in this file. Made by mendset.</p></footer>
<script type="application/json" id="results">${json}</script>
<script>${SAVE_TABLES}</script>
</body>
</html>
`;
}
