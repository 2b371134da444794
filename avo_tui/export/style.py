"""The look of the report page, light and dark, on the screen and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --dim: #667; --paper: #fff; --rule: #dde;
  --good: #197a3e; --bad: #b3261e; --accent: #2b5ea8; --top: #c77700; --wash: #f4f5f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --dim: #99a; --paper: #16181c;
  --rule: #333842; --good: #6fcf8f; --bad: #f08a80; --accent: #7fb0f5; --top: #f0b860;
  --wash: #1e2127; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; }
a { color: var(--accent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: var(--dim); } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
pre { background: var(--wash); padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; }
pre.diff { white-space: pre; }
.add { color: var(--good); } .cut { color: var(--bad); } .where { color: var(--accent); }
details { border-top: 1px solid var(--rule); padding: .4rem 0; }
summary { cursor: pointer; font-weight: 600; }
svg text { font: 12px system-ui, sans-serif; fill: var(--dim); }
svg .tiny { font-size: 10px; } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
.chart { width: 100%; height: auto; }
.grid { stroke: var(--rule); } .baseline { stroke: var(--dim); stroke-dasharray: 4 4; }
.best { fill: none; stroke: var(--accent); stroke-width: 2; }
.edge { fill: none; stroke: var(--dim); }
.point { fill: var(--accent); } .seed { fill: var(--dim); } .person { fill: var(--good); }
.top { fill: var(--top); }
@media print { details { break-inside: avoid; } body { max-width: none; } }
"""
