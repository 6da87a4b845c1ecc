"""The style sheet of a report."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#f4f5f8;--card:#fff;--ink:#17202e;--dim:#667285;--rim:#e2e6ed;--soft:#f4f6f9;
--good:#0b7a60;--good-bg:#e2f3ee;--bad:#a8500a;--bad-bg:#fbeedd;--bar:#2a66cc}
@media(prefers-color-scheme:dark){:root{--bg:#0b0e13;--card:#12161d;--ink:#e8edf4;--dim:#93a0b3;--rim:#252c38;
--soft:#1a202a;--good:#3ecf9f;--good-bg:#10302a;--bad:#f0b34a;--bad-bg:#362812;--bar:#7aa9f9}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);line-height:1.5;-webkit-text-size-adjust:100%;
font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
main{max-width:1148px;margin:0 auto;padding:40px 16px 64px}
header{padding:0 8px 28px}
h1{font-size:21px;font-weight:650;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
.run{color:var(--dim);font-size:14px;margin:2px 0 0;overflow-wrap:anywhere}
.result{display:flex;flex-wrap:wrap;align-items:baseline;gap:6px 18px;margin:26px 0 0}
.figure{font-size:clamp(44px,9vw,76px);font-weight:700;letter-spacing:-.035em;line-height:1;
font-variant-numeric:tabular-nums}
.figure small{font-size:.42em;font-weight:500;color:var(--dim);letter-spacing:-.01em}
.verdict{font-size:14px;font-weight:600;border-radius:999px;padding:4px 14px;transform:translateY(-4px)}
.verdict.good{color:var(--good);background:var(--good-bg)}
.verdict.bad{color:var(--bad);background:var(--bad-bg)}
.about{color:var(--dim);margin:10px 0 0;font-size:15px}
dl.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:16px;margin:30px 0 0}
section dl.facts{margin-top:22px}
dl.facts div{border-left:2px solid var(--rim);padding-left:12px;min-width:0}
dt{color:var(--dim);font-size:12.5px}
dl.facts dd{margin:0;font-size:17px;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--rim);border-radius:16px;padding:24px;margin:0 0 16px}
h2{font-size:16px;font-weight:650;margin:0 0 16px;letter-spacing:-.005em}
h3{font-size:13px;font-weight:600;color:var(--dim);margin:0 0 6px}
.note{color:var(--dim);font-size:13px;margin:12px 0 0}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:20px 18px}
.curves svg{display:block;width:100%;height:auto}
.curves .wide{grid-column:1/-1}.curves .narrow{display:none}
.picture{overflow-x:auto;text-align:center}
.picture .kw-flow{--kw-bg:var(--card)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:24px 40px}
table{border-collapse:collapse;width:100%;font-size:14px}
td,th{text-align:left;font-weight:400;padding:5px 0;border-bottom:1px solid var(--rim);vertical-align:top}
tr:last-child td,tr:last-child th{border-bottom:0}
th{color:var(--dim);padding-right:16px}
td{text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
pre{margin:0;font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;
background:var(--soft);border-radius:10px;padding:12px 16px;overflow-x:auto}
pre.command{white-space:pre-wrap;overflow-wrap:anywhere}
pre+h3,table+h3{margin-top:18px}
details{margin-top:18px}
summary{cursor:pointer;color:var(--dim);font-size:14px}
details pre{margin-top:12px}
.histogram{display:block;width:100%;height:auto;max-width:660px}
.histogram text{fill:var(--dim);font-size:11px;font-variant-numeric:tabular-nums}
.histogram rect{fill:var(--bar)}.histogram rect:hover{opacity:.75}
.histogram .axis{stroke:var(--rim)}.histogram .goal{stroke:var(--dim);stroke-dasharray:4 4}
footer{color:var(--dim);font-size:13px;padding:8px 8px 0}
@media(max-width:560px){main{padding:24px 10px 40px}section{padding:18px 14px;border-radius:12px}
header{padding:0 6px 22px}.curves{grid-template-columns:1fr}
.verdict{transform:none}.curves .wide{display:none}.curves .narrow{display:block}.picture .kw-flow{max-width:none}}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#17202e;--dim:#555f6e;--rim:#d8dde5;--soft:#f4f6f9;
--good:#0b7a60;--good-bg:#e2f3ee;--bad:#a8500a;--bad-bg:#fbeedd;--bar:#2a66cc}
main{padding:0;max-width:none}section{break-inside:avoid;border:0;padding:12px 0}details{display:none}
.picture svg{max-height:88vh}}
"""
