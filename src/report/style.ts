/** The report's style sheet: light and dark by the reader's preference, one column on a phone, plain on paper. */
export const STYLE: string = `
:root{color-scheme:light dark;--bg:#fbfbf9;--fg:#1c1d1f;--dim:#5b5f66;--line:#d9dad6;--panel:#fff;--accent:#1f5fa8;--heat:31 95 168;--note:#fff6dc;--note-line:#c99a1a;
--c0:#2f6db3;--c1:#c4581a;--c2:#2b8a57;--c3:#a23b8f;--c4:#8a6d00;--c5:#147f92;--c6:#b3303e;--c7:#5d5ec4}
@media (prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e8e8e4;--dim:#a2a7ae;--line:#34383e;--panel:#1c1f23;--accent:#7db4f0;--heat:94 158 232;--note:#2b2614;--note-line:#c99a1a;
--c0:#6aa8ee;--c1:#f0935a;--c2:#5cc48d;--c3:#da84cb;--c4:#d3b443;--c5:#55bfd2;--c6:#ef7a86;--c7:#9f9ff2}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header,footer{max-width:72rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.25rem;margin:2.5rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.5rem 0 .25rem}
p,li{max-width:46rem}
small{color:var(--dim);font-size:.82em;white-space:nowrap}
.lead{font-size:1.02rem;padding-left:1.1rem;margin:1rem 0}
.lead li{margin:.35rem 0}
.sub,figcaption,caption{color:var(--dim);font-size:.92rem}
.note{background:var(--note);border-left:4px solid var(--note-line);padding:.7rem 1rem;margin:1rem 0;max-width:46rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;list-style:none;padding:0;margin:1rem 0 0}
a{color:var(--accent)}
.scroll{overflow-x:auto;margin:.5rem 0 1rem}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem;background:var(--panel)}
caption{text-align:left;padding:.3rem 0;caption-side:top}
caption span{position:sticky;left:0;display:inline-block;min-width:min(26rem,calc(100vw - 3.5rem));max-width:min(46rem,calc(100vw - 2.5rem));white-space:normal}
th,td{padding:.38rem .7rem;border:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600;text-align:left}
thead th{text-align:right;vertical-align:bottom}
thead th:first-child,thead th.text{text-align:left}
data{white-space:nowrap}
td.heat{background:rgb(var(--heat)/calc(var(--h)*.5))}
td.heat small{color:inherit}
td.best{box-shadow:inset 0 0 0 2px var(--accent)}
td.text{text-align:left;white-space:normal;min-width:14rem;overflow-wrap:anywhere}
.none{color:var(--dim)}
.base{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:.75rem 0;padding:0;list-style:none}
.base li{border-left:3px solid var(--accent);padding-left:.7rem}
.base strong{display:block;font-size:1.15rem;font-variant-numeric:tabular-nums}
figure{margin:1rem 0}
.scroll svg{width:100%;min-width:600px;max-width:820px;height:auto;display:block;font:12px system-ui,sans-serif}
svg text{fill:var(--fg)}
.axes .grid{stroke:var(--line);fill:none}
.mark path{fill:var(--k);stroke:var(--bg);stroke-width:1}
.line>path{stroke:var(--k);fill:none;stroke-width:2}
.front{fill:none;stroke:var(--fg);stroke-width:1.5;stroke-dasharray:5 4;opacity:.6}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(210px,45%),1fr));gap:.6rem;margin:.6rem 0}
.map{width:100%;height:auto;overflow:visible;font:15px system-ui,sans-serif}
.map .frame{fill:var(--panel);stroke:var(--line)}
.map .dots{fill:none;stroke:var(--k);stroke-width:4;stroke-linecap:round;opacity:.75}
.map .edge{stroke-width:7;opacity:.95}
.map .rest{stroke:var(--dim);stroke-width:3;opacity:.3}
.map .centre{stroke:var(--fg);stroke-width:2.5;fill:none}
.answer{font-size:1.02rem;max-width:46rem}
button.csv{font:inherit;font-size:.85rem;color:var(--accent);background:none;border:1px solid var(--line);border-radius:4px;padding:.15rem .6rem;cursor:pointer}
button.csv:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-999rem}.skip:focus{left:1rem;top:.5rem;background:var(--panel);padding:.4rem .8rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:.25rem 0;font-size:.92rem}
.legend .key{width:16px;height:16px;vertical-align:-3px;margin-right:.3rem}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35rem}
details{border:1px solid var(--line);background:var(--panel);padding:.4rem .9rem;margin:.5rem 0}
summary{cursor:pointer;padding:.2rem 0}
dt{font-weight:600;margin-top:.7rem}
dd{margin:0;max-width:46rem}
footer{color:var(--dim);font-size:.9rem;padding-bottom:3rem;margin-top:2.5rem}
code{font-size:.9em;overflow-wrap:anywhere}
@media (max-width:640px){tbody th,thead th:first-child{position:sticky;left:0;background:var(--panel);box-shadow:inset -1px -1px var(--line)}tbody th{white-space:normal;min-width:min(8.5rem,42vw);max-width:42vw}body{font-size:15px}main,header,footer{padding:0 .9rem}header{padding-top:1.2rem}h1{font-size:1.4rem}th,td{padding:.3rem .5rem}}
@media print{:root{color-scheme:light;--bg:#fff;--fg:#000;--dim:#444;--line:#bbb;--panel:#fff}body{font-size:10.5pt}main,header,footer{max-width:none;padding:0}nav,button.csv,.skip{display:none}.maps{grid-template-columns:repeat(3,1fr)}.map{break-inside:avoid}.scroll{overflow:visible}
.scroll svg{min-width:0;max-width:100%}table{font-size:8.5pt}th,td{padding:.15rem .3rem}figure,tr,table{break-inside:avoid}table:has(tbody tr:nth-child(13)){break-inside:auto}details.print::details-content{content-visibility:visible;height:auto}details.print{border:0;padding:0}details.print>summary{list-style:none}h2,h3{break-after:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`;
