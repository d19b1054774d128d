const COLOURS = ['#1f6feb', '#bf3989', '#1a7f37', '#9a6700'];
const [WIDTH, HEIGHT, MARGIN] = [300, 220, 44];

/** One log-log panel for each axis: measured seconds as lines, the least that the machine's limit allows as thin dashes. */
export function costChart(title, points, { gflopsLimit, works, base }) {
  const axes = [...new Set(points.map((p) => p.axis))];
  const names = Object.keys(works);
  const panels = axes.map((axis, at) =>
    panel(
      axis,
      points.filter((p) => p.axis === axis),
      at * (WIDTH + 20),
      { gflopsLimit, works, base, names },
    ),
  );
  const legend = names.map((name, i) => `<text x="${20 + i * 130}" y="${HEIGHT + 62}" fill="${COLOURS[i]}">&#8212; ${name}</text>`);
  const width = axes.length * (WIDTH + 20) + 20;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT + 75}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/><text x="20" y="16" font-size="13">${escapeText(title)}</text>
${panels.join('\n')}
${legend.join('')}<text x="${20 + names.length * 130}" y="${HEIGHT + 62}" fill="#57606a">- - the plain algorithm at the machine's limit</text>
</svg>
`;
}

function panel(axis, points, left, { gflopsLimit, works, base, names }) {
  const steps = [...new Set(points.map((p) => p.step))].sort((a, b) => a - b);
  const bound = (p) => works[p.work].flops(p.n, p.d, p.k) / (gflopsLimit * 1e9 * (p.threads / base.threads));
  const seconds = points.flatMap((p) => [p.seconds, bound(p)]);
  const x = scale(steps[0], steps.at(-1), left + MARGIN, left + WIDTH - 8);
  const y = scale(Math.min(...seconds), Math.max(...seconds), HEIGHT + 20, 34);
  const line = (of, name, style) => {
    const own = points.filter((p) => p.work === name).sort((a, b) => a.step - b.step);
    return own.length === 0
      ? ''
      : `<polyline fill="none" ${style} points="${own.map((p) => `${x(p.step).toFixed(1)},${y(of(p)).toFixed(1)}`).join(' ')}"/>`;
  };
  const lines = names.map(
    (name, i) =>
      line((p) => p.seconds, name, `stroke="${COLOURS[i]}" stroke-width="1.8"`) +
      line(bound, name, `stroke="${COLOURS[i]}" stroke-width="0.8" stroke-dasharray="3 3"`),
  );
  const ticksX = steps.map(
    (step) =>
      `<text x="${x(step).toFixed(1)}" y="${HEIGHT + 34}" text-anchor="middle" font-size="9">${step >= 1000 ? `${step / 1000}k` : step}</text>`,
  );
  const [low, high] = [Math.min(...seconds), Math.max(...seconds)].map((value) => Math.log10(value));
  const ticksY = [];
  for (let power = Math.ceil(low); power <= Math.floor(high); power++)
    ticksY.push(
      `<text x="${left + MARGIN - 6}" y="${(y(10 ** power) + 3).toFixed(1)}" text-anchor="end" font-size="9">${Number(`1e${power}`)}</text>`,
    );
  return `<rect x="${left + MARGIN}" y="34" width="${WIDTH - MARGIN - 8}" height="${HEIGHT - 14}" fill="none" stroke="#d0d7de"/>${lines.join('')}${ticksX.join('')}${ticksY.join('')}<text x="${left + WIDTH / 2}" y="${HEIGHT + 47}" text-anchor="middle">${axis}</text>`;
}

/** Logarithmic; a single value stands in the middle. */
function scale(from, to, start, end) {
  const [low, high] = [Math.log(from), Math.log(to)];
  return (value) => (high === low ? (start + end) / 2 : start + ((Math.log(value) - low) / (high - low)) * (end - start));
}

function escapeText(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
