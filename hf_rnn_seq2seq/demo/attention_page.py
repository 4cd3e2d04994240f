"""Attention as HTML: one heat map, or a page of many sentences that needs no other file."""

import html
from collections.abc import Iterable, Mapping

# the class stands twice so that it wins over the rules for tables of a page around it
_STYLE = """
.map.map table { border-collapse: collapse; font: 13px/1.3 system-ui, sans-serif; color: #1f2328; background: #fff; }
.map.map :is(table, thead, tbody, tr, th), .best.best, .best.best :is(tbody, tr) { border: none; }
.map.map th { font-weight: 500; padding: 2px 6px; white-space: nowrap; background: #fff; color: #1f2328; }
.map.map thead th { height: 7.5em; vertical-align: bottom; padding: 4px 2px; }
.map.map thead span { writing-mode: vertical-rl; transform: rotate(180deg); }
.map.map tbody th { text-align: right; }
.map.map td { width: 22px; min-width: 22px; height: 22px; border: 1px solid #eaeef2; padding: 0;
  background: rgba(9, 105, 218, var(--w)); }
.map.map tr:hover th, .map.map th.on { background: #fff3bf; }
.map.map p { font: 12px system-ui, sans-serif; color: #57606a; margin: 4px 0 0; }
.best.best { border-collapse: collapse; font: 15px/1.5 system-ui, sans-serif; margin: 0; }
.best.best td { border: none; border-bottom: 1px solid #d0d7de; padding: 4px 12px 4px 0; vertical-align: top; }
.best.best td:first-child { font-variant-numeric: tabular-nums; text-align: right; opacity: .7; }
"""
_PAGE_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
input { font: inherit; width: 100%; padding: .4rem .6rem; box-sizing: border-box; margin-bottom: 1rem; }
details { border-top: 1px solid #d0d7de; padding: .5rem 0; }
summary { cursor: pointer; }
summary .target { color: #0550ae; display: block; margin-left: 1.1rem; }
.map { overflow-x: auto; padding: .5rem 0; }
"""
_SCRIPT = """
const filter = document.querySelector("input");
const count = document.querySelector("#count");
const items = [...document.querySelectorAll("details")];
filter.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase();
  let shown = 0;
  for (const item of items) {
    item.hidden = !item.querySelector("summary").textContent.toLowerCase().includes(wanted);
    shown += !item.hidden;
  }
  count.textContent = shown;
});
document.addEventListener("mouseover", event => {
  for (const marked of document.querySelectorAll("th.on")) marked.classList.remove("on");
  const cell = event.target.closest(".map td");
  if (cell) cell.closest("table").querySelectorAll("thead th")[cell.cellIndex].classList.add("on");
});
"""


def render_attention(attention: Mapping, *, with_style: bool = True) -> str:
    """A heat map as an HTML table: source tokens across, target tokens down, darker where more attention lies.

    Args:
        attention (mapping): `source_tokens` (S), `target_tokens` (T) and `weights`, T rows of S floats, as the
            pipeline returns with `return_attention=True`.
        with_style (`bool`): False where the page has the style already.
    """
    style = f"<style>{_STYLE}</style>" if with_style else ""
    sources = attention["source_tokens"]
    head = "".join(f'<th scope="col"><span>{_show(token)}</span></th>' for token in sources)
    rows = []
    for token, weights in zip(attention["target_tokens"], attention["weights"], strict=True):
        cells = "".join(_render_cell(token, source, weight) for source, weight in zip(sources, weights, strict=True))
        rows.append(f'<tr><th scope="row">{_show(token)}</th>{cells}</tr>')
    return (
        f'{style}<div class="map"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table><p>Each row sums to 1: where the model looked while it wrote the "
        "token on the left. Point at a cell for its value.</p></div>"
    )


def render_translations(records: Iterable[Mapping]) -> str:
    """Translations of one text with their scores as an HTML table.

    Args:
        records (iterable of mappings): `translation_text` and `score`, as the pipeline returns with
            `return_scores=True`.
    """
    rows = [
        f"<tr><td>{record['score']:.3f}</td><td>{html.escape(record['translation_text'])}</td></tr>"
        for record in records
    ]
    return f'<style>{_STYLE}</style><table class="best">{"".join(rows)}</table>'


def render_page(records: Iterable[Mapping], *, title: str) -> Iterable[str]:
    """A page of sentences, their translations and attention, in pieces to be written one after the other.

    Args:
        records (iterable of mappings): `source`, `translation_text`, `score` (or None) and `attention` (or None).
        title (`str`): heading.
    """
    yield (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_PAGE_STYLE}{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        '<input type="search" placeholder="Show only sentences with …" aria-label="Filter">\n'
    )
    count = 0
    for count, record in enumerate(records, start=1):
        score = "" if record["score"] is None else f' <small title="score in nats">{record["score"]:.2f}</small>'
        attention = "" if record["attention"] is None else render_attention(record["attention"], with_style=False)
        yield (
            f"<details{' open' if count == 1 else ''}><summary>{html.escape(record['source'])}"
            f'<span class="target">{html.escape(record["translation_text"])}{score}</span></summary>'
            f"{attention}</details>\n"
        )
    yield f'<p><span id="count">{count}</span> sentences</p><script>{_SCRIPT}</script></body></html>\n'


def _render_cell(target: str, source: str, weight: float) -> str:
    title = f"{_show(target)} ← {_show(source)}: {weight:.3f}"
    return f'<td style="--w:{weight:.3f}" title="{title}"></td>'


def _show(token: str) -> str:
    """A token as text; a space is made visible."""
    return html.escape(token.replace(" ", "␣")) or "∅"
