const COLOURS = ['#1f6feb', '#bf3989', '#1a7f37', '#9a6700'];
const [WIDTH, HEIGHT, LEFT, TOP] = [330, 250, 52, 44];
const LABELS = { n: 'rows n', d: 'columns d', k: 'clusters or centres k', threads: 'threads' };

/**
 * One log-log panel for each axis: measured seconds as lines with points; thin dashes, the plain algorithm at the machine's limit; dots, its
 * input read at the machine's limit. A line below its dashes has left work out.
 */
export function costChart(title, points, { names, bound }) {
  const axes = Object.keys(LABELS).filter((axis) => points.some((p) => p.axis === axis));
  const panels = axes.map((axis, at) =>
    panel(
      axis,
      points.filter((p) => p.axis === axis),
      at * (WIDTH + 14) + 10,
      { names, bound },
    ),
  );
  const below = TOP + HEIGHT + 62;
  const legend = names.map(
    (name, i) =>
      `<line x1="${20 + i * 120}" x2="${42 + i * 120}" y1="${below - 4}" y2="${below - 4}" stroke="${COLOURS[i]}" stroke-width="2"/><text x="${48 + i * 120}" y="${below}">${escapeText(name)}</text>`,
  );
  const from = 30 + names.length * 120;
  const note = `<line x1="${from}" x2="${from + 22}" y1="${below - 4}" y2="${below - 4}" stroke="#57606a" stroke-dasharray="5 3"/><text x="${from + 28}" y="${below}" fill="#57606a">the plain algorithm at the machine's limit</text><line x1="${from + 270}" x2="${from + 292}" y1="${below - 4}" y2="${below - 4}" stroke="#57606a" stroke-dasharray="1 3"/><text x="${from + 298}" y="${below}" fill="#57606a">its input read at the machine's limit</text>`;
  const width = Math.max(axes.length * (WIDTH + 14) + 20, from + 520);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${below + 14}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/><text x="20" y="20" font-size="13">${escapeText(title)}</text>
${panels.join('\n')}
${legend.join('')}${note}
</svg>
`;
}

function panel(axis, points, left, { names, bound }) {
  const steps = [...new Set(points.map((p) => p.step))].sort((a, b) => a - b);
  const seconds = points.flatMap((p) => [p.seconds, bound(p).plain, bound(p).reading]);
  const x = scale(steps[0], steps.at(-1), left + LEFT + 12, left + WIDTH - 16);
  const y = scale(Math.min(...seconds) / 1.3, Math.max(...seconds) * 1.3, TOP + HEIGHT, TOP);
  const place = (step, value) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`;
  const line = (own, of, style) => `<polyline fill="none" ${style} points="${own.map((p) => place(p.step, of(p))).join(' ')}"/>`;
  const lines = names.map((name, i) => {
    const own = points.filter((p) => p.work === name).sort((a, b) => a.step - b.step);
    if (own.length === 0) return '';
    const dots = own.map((p) => {
      const [cx, cy] = place(p.step, p.seconds).split(',');
      return `<circle cx="${cx}" cy="${cy}" r="2.4" fill="${COLOURS[i]}"><title>${escapeText(`${name}, ${axis} = ${p.step}: ${Number(p.seconds.toPrecision(3))} s, ${p.gflops.toFixed(0)} GFLOP/s of the plain algorithm`)}</title></circle>`;
    });
    return (
      line(own, (p) => bound(p).plain, `stroke="${COLOURS[i]}" stroke-width="0.9" stroke-dasharray="5 3"`) +
      line(own, (p) => bound(p).reading, `stroke="${COLOURS[i]}" stroke-width="0.9" stroke-dasharray="1 3"`) +
      line(own, (p) => p.seconds, `stroke="${COLOURS[i]}" stroke-width="1.8"`) +
      dots.join('')
    );
  });
  const grid = [];
  const [low, high] = [Math.min(...seconds) / 1.3, Math.max(...seconds) * 1.3].map((value) => Math.log10(value));
  for (let power = Math.ceil(low); power <= Math.floor(high); power++) {
    const at = y(10 ** power).toFixed(1);
    grid.push(
      `<line x1="${left + LEFT}" x2="${left + WIDTH - 4}" y1="${at}" y2="${at}" stroke="#eaeef2"/><text x="${left + LEFT - 5}" y="${(Number(at) + 3).toFixed(1)}" text-anchor="end" font-size="9">${secondsText(power)}</text>`,
    );
  }
  const ticks = steps.map(
    (step) =>
      `<text x="${x(step).toFixed(1)}" y="${TOP + HEIGHT + 13}" text-anchor="middle" font-size="9">${step >= 1e6 ? `${step / 1e6}M` : step >= 1000 ? `${step / 1000}k` : step}</text>`,
  );
  return `<rect x="${left + LEFT}" y="${TOP}" width="${WIDTH - LEFT - 4}" height="${HEIGHT}" fill="none" stroke="#d0d7de"/>${grid.join('')}${lines.join('')}${ticks.join('')}<text x="${left + (LEFT + WIDTH) / 2}" y="${TOP + HEIGHT + 30}" text-anchor="middle">${LABELS[axis]}</text>`;
}

function secondsText(power) {
  return power < 0 ? `${10 ** (power + 3) < 1 ? 10 ** (power + 6) : 10 ** (power + 3)} ${power < -3 ? 'us' : 'ms'}` : `${10 ** power} s`;
}

/** Logarithmic; a single value stands in the middle. */
function scale(from, to, start, end) {
  const [low, high] = [Math.log(from), Math.log(to)];
  return (value) => (high === low ? (start + end) / 2 : start + ((Math.log(value) - low) / (high - low)) * (end - start));
}

function escapeText(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
