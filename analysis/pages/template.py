"""The page as a Jinja template: its structure, its colours, and how it looks on screens and on paper."""

from __future__ import annotations

from typing import Final

PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>
:root {
  --ink: #1c2430; --muted: #5b6675; --paper: #fbfbfa; --card: #ffffff; --line: #e1e4e8; --grid: #e6e8eb;
  --accent: #0b63a5; --warn: #b4460f; --good: #1a6b3c; --good-soft: #e5f2ea; --bad-soft: #fbeae1;
  --open-soft: #fbf3d9; --open: #74560a; --unknown-soft: #eceff2; --code: #f1f3f5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8ee; --muted: #9aa7b6; --paper: #14181d; --card: #1b2027; --line: #2d343d; --grid: #2d343d;
    --accent: #6cb4ee; --warn: #f0935c; --good: #79cf9c; --good-soft: #1b3326; --bad-soft: #3b261b;
    --open-soft: #363019; --open: #e3c668; --unknown-soft: #272e37; --code: #242b33;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 96px; }
header h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 6px; overflow-wrap: anywhere; }
header p { margin: 0; color: var(--muted); overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 14px 0 0; padding: 0; list-style: none; font-size: 14px;
  color: var(--muted); }
.verdicts { display: grid; grid-template-columns: repeat(auto-fit, minmax(310px, 1fr)); gap: 16px;
  margin: 32px 0 20px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; min-width: 0; }
.verdict { display: flex; flex-direction: column; }
.verdict h2 { font-size: 16px; line-height: 1.35; margin: 0 0 10px; font-weight: 600; }
.verdict p { margin: 10px 0 0; font-size: 15px; overflow-wrap: anywhere; }
.verdict .more { margin-top: auto; padding-top: 10px; font-size: 14px; }
.verdict .figure { margin-top: 12px; }
.pill { align-self: flex-start; display: inline-block; border-radius: 99px; padding: 2px 12px; font-size: 14px;
  font-weight: 600; }
.good { background: var(--good-soft); color: var(--good); }
.bad { background: var(--bad-soft); color: var(--warn); }
.open { background: var(--open-soft); color: var(--open); }
.unknown { background: var(--unknown-soft); color: var(--muted); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 12px 0; border-top: 1px solid var(--line);
  border-bottom: 1px solid var(--line); font-size: 14px; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 2px; }
section { margin-top: 52px; }
section > h2 { font-size: 22px; letter-spacing: -.01em; margin: 0 0 6px; }
section > p { margin: 0 0 16px; max-width: 74ch; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(500px, 100%), 1fr)); gap: 16px;
  align-items: start; }
figure { margin: 0; }
figcaption, section > p.note { color: var(--muted); font-size: 14px; line-height: 1.45; max-width: 74ch; }
figcaption { margin-top: 10px; }
section > p.note { margin: 8px 0 0; }
.figure { overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; }
.verdict svg { width: auto !important; max-height: 250px; }
svg text { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif !important; }
svg text:not([style*="fill"]) { fill: currentColor; }
img.paper { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.table { overflow-x: auto; margin-top: 16px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; min-width: 50%; }
th, td { padding: 5px 14px 5px 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--muted); }
td:last-child:not(.number) { white-space: normal; overflow-wrap: anywhere; min-width: 16ch; }
td.number, th.number { text-align: right; }
details { margin-top: 16px; }
summary { cursor: pointer; color: var(--accent); font-size: 15px; }
.missing { margin-top: 14px; padding: 12px 16px; border-left: 3px solid var(--line); font-size: 15px;
  color: var(--muted); }
code { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--code); color: var(--ink);
  border-radius: 5px; padding: 2px 6px; overflow-wrap: anywhere; }
code span { display: inline-block; max-width: 100%; }
@media (min-width: 1000px) {
  .verdicts { grid-template-columns: repeat(6, minmax(0, 1fr)); }
  .verdict { grid-column: span 2; }
  .verdict:nth-child(n + 4) { grid-column: span 3; }
}
@media (max-width: 600px) {
  main { padding: 24px 16px 64px; }
  header h1 { font-size: 24px; }
  .card { padding: 14px; }
  .verdicts { grid-template-columns: minmax(0, 1fr); }
  .verdict .figure svg { max-height: none; }
}
@media print {
  :root { --ink: #000; --muted: #444; --paper: #fff; --card: #fff; --line: #ccc; --grid: #ddd; --accent: #0b63a5;
    --warn: #a33c08; --good: #14552f; --good-soft: #fff; --bad-soft: #fff; --open-soft: #fff; --open: #604704;
    --unknown-soft: #fff; --code: #fff; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  nav, .verdict .more { display: none; }
  .pill { border: 1px solid currentColor; }
  figure, .card, tr { break-inside: avoid; }
  h2, section > p { break-after: avoid; }
  .figures { display: block; }
  .figures .card { margin-bottom: 12px; }
}
</style>
</head>
<body>
<main>
<header>
<h1>{{ title }}</h1>
<p>{{ subtitle }}</p>
<ul class="facts">
{% for fact in facts %}
<li>{{ fact }}</li>
{% endfor %}
</ul>
</header>
<div class="verdicts">
{% for verdict in verdicts %}
<article class="card verdict">
<h2>{{ verdict.question }}</h2>
<span class="pill {{ verdict.state }}">{{ verdict.shown }}</span>
<p>{{ verdict.answer }}</p>
{% if verdict.picture %}
<div class="figure" tabindex="0">{{ verdict.picture.content | safe }}</div>
{% endif %}
<p class="more"><a href="#{{ verdict.section }}">See why</a></p>
</article>
{% endfor %}
</div>
<nav aria-label="Sections">
{% for section in sections %}
<a href="#{{ section.name }}">{{ section.title }}</a>
{% endfor %}
</nav>
{% macro command_line(command) %}
<code>{% for word in command.split(" ") %}<span>{{ word }}</span>{{ "" if loop.last else " " }}{% endfor %}</code>
{%- endmacro %}
{% macro cell_of(value) %}
{% if value is command_text %}{{ command_line(value) }}{% else %}{{ value | cell }}{% endif %}
{%- endmacro %}
{% macro table_of(table) %}
<div class="table" tabindex="0"><table>
<thead><tr>
{% for name in table.columns %}
<th scope="col"{% if table.rows and table.rows[0][loop.index0] is number %} class="number"{% endif %}>{{ name }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>
{% for value in row %}
<td{% if value is number %} class="number"{% endif %}>{{ cell_of(value) }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
{% if table.caption and not table.folded %}
<p class="note">{{ table.caption }}</p>
{% endif %}
{% endmacro %}
{% for section in sections %}
<section id="{{ section.name }}">
<h2>{{ section.title }}</h2>
{% if section.lead %}
<p>{{ section.lead }}</p>
{% endif %}
{% if section.pictures %}
<div class="figures">
{% for picture in section.pictures %}
<figure class="card">
<div class="figure" tabindex="0">{{ picture.content | safe }}</div>
<figcaption>{{ picture.caption }}</figcaption>
</figure>
{% endfor %}
</div>
{% endif %}
{% for table in section.tables %}
{% if table.folded %}
<details><summary>{{ table.caption }} ({{ table.rows | length }} rows)</summary>
{{ table_of(table) }}
</details>
{% else %}
{{ table_of(table) }}
{% endif %}
{% endfor %}
{% for what, command in section.missing %}
<p class="missing">{{ what }} {% if command %}Create it with {{ command_line(command) }}{% endif %}</p>
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""
