import { type CellResult, formatPercent } from '../study/cell-result.ts';
import { type PoolMap, readPoolMap } from '../study/pool-map.ts';
import { dataMarkup, escapeMarkup, scrollRegion } from './markup.ts';
import { type Section, unique } from './section.ts';

const SIZE = 300;
const MARGIN = 10;
/** Share of a cluster, by distance from its centre, that is drawn as its boundary and as its centre. */
const EDGE_SHARE = 0.25;

/** Where the records lie: clusters with boundary and centre, and what each selector chose of them. */
export async function poolMapSection(directory: string, results: readonly CellResult[]): Promise<Section> {
  const parts: string[] = [];
  for (const [i, model] of unique(results.map((r) => r.model)).entries()) {
    const map = await readPoolMap(directory, model);
    if (map) parts.push(mapFigures(map, i));
  }
  return { id: 'map', title: 'The pool and what was chosen of it', body: parts.join('') };
}

function mapFigures(map: PoolMap, index: number): string {
  const at = positions(map);
  const clusters = [...new Set(map.clusters)].filter((c) => c >= 0).sort((a, b) => a - b);
  const members = clusters.map((c) => [...map.clusters.keys()].filter((i) => map.clusters[i] === c));
  const layers = members.map((own, k) => {
    const ranked = [...own].sort((a, b) => (map.distances[b] as number) - (map.distances[a] as number) || a - b);
    const edge = new Set(ranked.slice(0, Math.round(own.length * EDGE_SHARE)));
    const inner = ranked.filter((i) => !edge.has(i));
    const centre = own.reduce((sum, i) => [sum[0] + (at[i] as Place)[0], sum[1] + (at[i] as Place)[1]] as const, [0, 0] as Place);
    const [x, y] = [centre[0] / own.length, centre[1] / own.length];
    return `<g style="--k:var(--c${k % 8})"><path class="dots" d="${dots(inner, at)}"/><path class="dots edge" d="${dots([...edge], at)}"/><path class="centre" d="M${(x - 6).toFixed(1)} ${y.toFixed(1)}h12M${x.toFixed(1)} ${(y - 6).toFixed(1)}v12"/></g>`;
  });
  const whole = panel(
    `map-${index}`,
    `${map.model}: ${clusters.length} clusters`,
    `${map.points.length} records in the plane of the first two principal components, coloured by cluster; large points are the boundary quarter of their cluster, crosses the centres.`,
    layers.join(''),
  );
  const seen = map.chosen.map((c, k) => {
    const inside = new Set(c.indices);
    const rest = [...at.keys()].filter((i) => !inside.has(i));
    const title = `${c.selector} ${formatPercent(c.proportion)}${c.boundaryRatio === null || c.boundaryRatio === 1 ? '' : ` ρ ${c.boundaryRatio}`}`;
    return panel(
      `map-${index}-${k}`,
      title,
      `The ${c.indices.length} records that ${title} chose, among ${map.points.length}.`,
      `<path class="dots rest" d="${dots(rest, at)}"/><path class="dots" style="--k:var(--c1)" d="${dots(c.indices, at)}"/>`,
    );
  });
  const rows = map.chosen.map((c) => {
    const edge = members.reduce((sum, own) => {
      const ranked = [...own].sort((a, b) => (map.distances[b] as number) - (map.distances[a] as number) || a - b);
      const boundary = new Set(ranked.slice(0, Math.round(own.length * EDGE_SHARE)));
      return sum + c.indices.filter((i) => boundary.has(i)).length;
    }, 0);
    const share = c.indices.length === 0 ? 0 : edge / c.indices.length;
    const per = clusters.map((cluster) => c.indices.filter((i) => map.clusters[i] === cluster).length);
    return `<tr><th scope="row">${escapeMarkup(`${c.selector} ${formatPercent(c.proportion)}${c.boundaryRatio === null ? '' : ` ρ ${c.boundaryRatio}`}`)}</th><td>${dataMarkup(c.indices.length, String(c.indices.length))}</td><td>${dataMarkup(share, `${(share * 100).toFixed(0)} %`)}</td>${per.map((n) => `<td>${dataMarkup(n, String(n))}</td>`).join('')}</tr>`;
  });
  const kept = map.points.length < map.records ? `, the first ${map.points.length} of ${map.records} records` : '';
  const explained = map.explained.map((e) => `${(e * 100).toFixed(0)} %`).join(' and ');
  const table = `<table><caption><span>How many records of each cluster were chosen, and the share of the choice that lies in the boundary quarter of its cluster.</span></caption><thead><tr><th scope="col">selector</th><th scope="col">chosen</th><th scope="col">boundary</th>${clusters.map((c) => `<th scope="col">${c}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
  return `<figure><figcaption>${escapeMarkup(`${map.model}, data seed ${map.seed}${kept}: first two principal components (${explained} of the variance). First the clusters; large points are the boundary quarter of a cluster, crosses the centres. Then what each selector chose.`)}</figcaption><div class="maps">${whole}${seen.join('')}</div></figure><details class="print"><summary>The same as numbers</summary>${scrollRegion(`Chosen records by cluster, ${map.model}`, table)}</details>`;
}

type Place = readonly [number, number];

/** Points on the panel, at equal scale in both directions. */
function positions(map: PoolMap): Place[] {
  const xs = map.points.map((p) => p[0]);
  const ys = map.points.map((p) => p[1]);
  const least = (v: readonly number[]) => v.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const most = (v: readonly number[]) => v.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const [x0, x1, y0, y1] = [least(xs), most(xs), least(ys), most(ys)];
  const scale = (SIZE - 2 * MARGIN) / Math.max(x1 - x0, y1 - y0, Number.MIN_VALUE);
  const [mx, my] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return map.points.map(([x, y]): Place => [SIZE / 2 + (x - mx) * scale, SIZE / 2 - (y - my) * scale]);
}

/** One path of round points: a stroke of no length has the shape of its cap. */
function dots(indices: Iterable<number>, at: readonly Place[]): string {
  return Array.from(indices, (i) => `M${(at[i] as Place)[0].toFixed(1)} ${(at[i] as Place)[1].toFixed(1)}h0`).join('');
}

function panel(id: string, title: string, description: string, content: string): string {
  return `<svg class="map" viewBox="0 -18 ${SIZE} ${SIZE + 18}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">${escapeMarkup(title)}</title><desc id="${id}-d">${escapeMarkup(description)}</desc><text x="4" y="-5">${escapeMarkup(title)}</text><rect class="frame" x=".5" y=".5" width="${SIZE - 1}" height="${SIZE - 1}"/>${content}</svg>`;
}
