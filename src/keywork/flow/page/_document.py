"""The page of a flow: one HTML file with its style, its script and its data, which loads nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from keywork._errors import Finding
from keywork.flow._graph import Graph
from keywork.flow.page._facts import facts_of
from keywork.flow.page._tables import table_html
from keywork.flow.picture import escaped, palette, svg_of

# Says it to the browser as well: nothing is fetched, whatever a name in the page may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_HELP = (
    "<kbd>/</kbd> search <kbd>&#8593;</kbd><kbd>&#8595;</kbd> move <kbd>Enter</kbd> pin <kbd>Esc</kbd> clear "
    "<kbd>+</kbd><kbd>&#8722;</kbd><kbd>0</kbd> zoom"
)


def page_of(graph: Graph, findings: Sequence[Finding], sources: Mapping[str, str], title: str) -> str:
    """The whole document.

    Args:
        graph: the pipeline.
        findings: what is wrong with it; shown on top.
        sources: for parts by name, where they are defined: ``"file.py:12"``.
        title: of the page.
    """
    facts = facts_of(graph, findings, sources)
    return "\n".join([*_head(title), *_body(graph, findings, facts, title), "</html>", ""])


def _head(title: str) -> Iterator[str]:
    light, dark = palette(dark=False), palette(dark=True)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield f"<title>{escaped(title)}</title>"
    # The picture has colours of its own; the toggle's choice has to reach them too.
    yield (
        f"<style>:root{{color-scheme:light;{light}}}:root[data-theme=light] .kw-flow{{{light}}}"
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f":root[data-theme=dark],:root[data-theme=dark] .kw-flow{{color-scheme:dark;{dark}}}"
    )
    yield _asset("page.css") + "</style>\n</head>"


def _body(graph: Graph, findings: Sequence[Finding], facts: Mapping[str, Any], title: str) -> Iterator[str]:
    yield "<body>\n<header>"
    yield f"<h1>{escaped(title)}</h1><p>{len(graph.parts)} parts, {len(graph.entries)} keys</p>"
    yield '<button type="button" id="theme" aria-label="Light or dark">&#9680;</button></header>'
    if findings:
        count = f"{len(findings)} finding{'s' * (len(findings) != 1)}"
        yield f'<section class="findings" aria-label="Findings"><h2>{count}</h2><ol>'
        yield from map(_finding, findings)
        yield "</ol></section>"
    yield '<main>\n<section class="picture" aria-label="Picture"><div class="tools" role="group" aria-label="Zoom">'
    for name, sign, what in (("in", "+", "Zoom in"), ("out", "&#8722;", "Zoom out"), ("fit", "fit", "Fit")):
        yield f'<button type="button" id="zoom-{name}" aria-label="{what}">{sign}</button>'
    yield '</div>\n<div id="view" tabindex="0" role="region" aria-label="Picture of the pipeline">'
    yield svg_of(graph) + "</div></section>"
    yield '<aside aria-label="Keys">'
    yield (
        '<input type="search" id="search" placeholder="Search keys, parts, shapes" aria-label="Search" '
        'aria-controls="keys" autocomplete="off" spellcheck="false"><p id="count" role="status"></p>'
    )
    yield '<ul id="keys" role="listbox" tabindex="0" aria-label="Keys">'
    yield from (_item(number, key, facts["parts"]) for number, key in enumerate(facts["keys"]))
    yield '</ul>\n<section id="detail" aria-live="polite" aria-label="Details" hidden></section>'
    yield f'<p class="help">{_HELP}</p>'
    yield '</aside>\n</main>\n<details class="table" open><summary>All keys</summary><div>'
    yield from table_html(graph)
    yield "</div></details>"
    yield f'<script type="application/json" id="facts">{_embedded(facts)}</script>'
    yield f"<script>{_asset('page.js')}</script>\n</body>"


def _finding(finding: Finding) -> str:
    provided = f"<p>provided: {escaped(finding.provided)}</p>" if finding.provided else ""
    return (
        f"<li><p><code>{escaped(finding.kind)}</code> {escaped(finding.problem)}</p>{provided}"
        f'<p class="fix">{escaped(finding.fix)}</p></li>'
    )


def _item(number: int, key: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> str:
    writers = [parts[i]["name"] for i in key["writers"]] or [f"{parts[i]['name']} (step before)" for i in key["before"]]
    kind = parts[(key["writers"] or key["before"])[0]]["kind"] if writers else "module"
    readers = [parts[i]["name"] for i in key["readers"]]
    holds = " ".join(dict.fromkeys(filter(None, (key["shape"], key["dtype"], key["domain"]))))  # bool only once
    mark = ' <b class="mark" title="a finding names it">!<span> has a finding</span></b>' if key["findings"] else ""
    return (
        f'<li role="option" id="key-{number}" aria-selected="false" class="{kind}"><code>{escaped(key["name"])}</code>'
        f"{mark} <small>{escaped(holds)}</small>"
        f"<small>{escaped(', '.join(writers) or 'nobody')} &#8594; "
        f"{escaped(', '.join(readers) or 'nobody')}</small></li>"
    )


def _embedded(facts: Mapping[str, Any]) -> str:
    """JSON that no name can end early: a script element is over at ``</script>``, wherever that stands."""
    text = json.dumps(facts, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
