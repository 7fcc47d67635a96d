"""The report of an audit, as a file and in a real browser: what is read first, what is cut, what can be sorted and downloaded."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix._tables import Table
from babelmix.corpus import Corpus
from babelmix.encoders.kinds import make_encoder
from babelmix.evaluation import Audit, Comparison, Estimate, audit
from babelmix.evaluation.measure_info import MULTI_MAP, RANK_DISTANCE, SAME_LANGUAGE_SHARE, measure_info
from babelmix.evaluation.samples import Placed, SampledAnswer, SampledQuery
from babelmix.evaluation.systems.vectors import Vectors
from babelmix.evaluation.verdict import percent
from babelmix.experiment import compare_loaded, write_audit_report
from babelmix.experiment.report.audits import write_audits_report
from babelmix.experiment.report.figures import differences, settings_overview
from babelmix.experiment.report.page import LeftOut, Section, render


@pytest.fixture(scope="module")
def done() -> Audit:
    corpus = parallel_corpus(40)
    encoder = make_encoder("static", corpus.passages["text"].to_pylist(), dimension=24, seed=0)
    return audit(encoder, corpus, name="my-encoder", store=False)


@pytest.fixture(scope="module")
def folder(done: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reports")
    write_audit_report(done, place / "report.html")
    other = replace(done.table, outranking_counts=done.table.outranking_counts + 3)
    compared = compare_loaded({"my-encoder": done, "worse": Audit.of(other)})
    write_audits_report(compared, place / "comparison.html")
    return place


def heads(text: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", text)


def test_the_parts_of_a_report_are_in_order(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert heads(text)[:5] == [
        "Three real queries", "What would help", "Language bias", "Three settings", "Each query language",
    ]  # fmt: skip
    assert text.index('class="verdict') < text.index('class="tile"') < text.index("Three real queries")
    assert "babelmix debias ENCODER" not in text
    assert "babelmix debias my-encoder --on TEXTS" in text
    assert "--policy balanced" in text
    assert re.search(r'<p class="when">\d{4}-\d\d-\d\d, babelmix \d', text)
    # What is not there says why.
    assert "Left out, “What noise on the queries costs”: it was not measured; see the option --perturb." in text
    # Four bias measures, each beside its ideal value; the rest is folded.
    bias = text[text.index(">Language bias</h2>") :]
    table, rest = bias[: bias.index("<details>")], bias[bias.index("<details>") :]
    assert table.count('<th scope="row">') == 4
    assert '<th scope="col">ideal</th>' in table
    assert "further measures of language bias" in rest


def test_a_report_of_an_older_audit_says_what_it_has_not(done: Audit, tmp_path: Path) -> None:
    about = replace(done.table.about, samples=None, remedies=None, calibration=None, tokens=None)
    write_audit_report(Audit.of(replace(done.table, about=about, first=None)), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Three real queries" not in heads(text)
    for title in ("Three real queries", "What would help", "Do scores mean the same in every language?"):
        assert f"Left out, “{title}”" in text


def test_a_comparison_leads_with_the_winner(folder: Path) -> None:
    text = (folder / "comparison.html").read_text(encoding="utf-8")
    assert heads(text)[:2] == ["Are the differences real?", "The headline"]
    # The p-values are folded below the plot.
    section = text[text.index(">Are the differences real?</h2>") : text.index(">The headline</h2>")]
    assert section.index("<img") < section.index("<details>") < section.index("p after Holm")
    assert section.count('<th scope="row">') == 4


def test_texts_cannot_break_the_page() -> None:
    table = Table(["<i>", 'a"b'], [["</script>", "1,5\n2"]], title="x</table>")
    page = render("<b>", "<b>", [("<b>", "<b>")], [Section("<b>", tables=[table]), LeftOut("<b>", "<b>")])
    body = page.partition("<main>")[2].partition("</main>")[0]
    assert "<b>" not in body
    assert "</script>" not in body
    href = re.search(r'download="([^"]+)" href="data:text/csv;charset=utf-8,([^"]+)"', body)
    assert href is not None
    assert href[1] == "x-table.csv"
    assert list(csv.reader(io.StringIO(unquote(href[2])))) == [["<i>", 'a"b'], ["</script>", "1,5 2"]]


def test_the_places_of_right_answers_are_said_in_words() -> None:
    answers = [SampledAnswer("a", "en", "a text", right=True), SampledAnswer("b", "de", "ein Text", right=False)]
    first = SampledQuery("a", "en", "a query", answers, [Placed("en", 1, {})])
    later = SampledQuery(
        "a", "en", "a query", answers, [Placed("en", 1, {}), Placed("de", 1_143, {"en": 1, "fr": 97})]
    )
    never = SampledQuery("a", "en", "a query", answers, [Placed("de", None, {})])
    unjudged = SampledQuery("a", "en", "a query", [SampledAnswer("a", "en", "a text")])
    page = render("x", "x", [], [Section("s", queries=[first, later, never, unjudged])])
    words = " ".join(re.sub(r"<[^>]+>", "", page.partition("<main>")[2]).split())
    for sentence in (
        "The right answer in en is at place 1.",
        "The right answer in de is at place 1,143, behind 97 passages in fr.",
        "Places of the right answer in each language: en 1, de 1,143.",
        "The right answer in de is not in the list.",
    ):
        assert sentence in words
    assert words.count("The right answer in") == 3
    assert page.count('class="chip right"') == 3


CLIPPED = """
() => {
  const wrong = [];
  for (const image of document.querySelectorAll("figure img")) {
    const holder = document.createElement("div");
    holder.innerHTML = new TextDecoder().decode(Uint8Array.from(atob(image.src.split(",")[1]), c => c.codePointAt(0)));
    document.body.append(holder);
    const svg = holder.querySelector("svg"), whole = svg.getBoundingClientRect();
    const shown = [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    shown.forEach(([words, box], i) => {
      if (box.left < whole.left - 1 || box.right > whole.right + 1 || box.top < whole.top - 1 || box.bottom > whole.bottom + 1)
        wrong.push(`cut: ${words}`);
      for (const [others, other] of shown.slice(i + 1)) {
        const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (across > 2 && down > 3) wrong.push(`${words} over ${others}`);
      }
    });
    holder.remove();
  }
  return wrong;
}
"""

WIDER = """
() => [...document.querySelectorAll("main *")].filter(one =>
    one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, figure, pre, dd")
  ).map(one => one.tagName + " " + one.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from page_server import browsing

    with browsing() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report.html", "comparison.html"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_and_the_verdict_is_on_the_first_screen(browser, folder: Path, name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((folder / name).as_uri())
    box = page.locator(".verdict").bounding_box()
    assert box["y"] + box["height"] < 900
    if width == 1280:
        for part in page.locator(".tile, .hero figure").all():
            box = part.bounding_box()
            assert box["y"] + box["height"] < 900
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(WIDER) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert all(image.get_attribute("alt") for image in page.locator("img").all())
    page.close()


@pytest.mark.slow
def test_figures_of_small_and_close_values_have_numbers_that_differ(browser, tmp_path: Path) -> None:
    rows = [
        ("a long name of a system", {"multi/mAP": (0.039, 0.03, 0.05), "bias/rank distance over chance": (0.676, 0.6, 0.7)}),
        ("another", {"multi/mAP": (0.998, 0.99, 1.0), "bias/rank distance over chance": (1.2, 1.1, 1.3)}),
    ]  # fmt: skip
    panels = [("multi/mAP", "multilingual mAP"), ("bias/rank distance over chance", "distance over chance")]
    parts = [
        Section("one", figure=settings_overview(rows, panels), alt="x"),
        Section("two", figure=differences(rows, [name for name, _ in panels]), alt="x"),
    ]
    (tmp_path / "x.html").write_text(render("x", "x", [], parts), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((tmp_path / "x.html").as_uri())
    assert page.evaluate(CLIPPED) == []
    page.close()
    for words in ("0.039", "0.676", "0.6<", "0.8<", "1<", "1.2<"):
        assert words in parts[0].figure


@pytest.mark.slow
def test_tables_sort_and_download(browser, folder: Path, tmp_path: Path) -> None:
    page = browser.new_page(accept_downloads=True)
    page.goto((folder / "report.html").as_uri())
    section = page.locator("section", has=page.locator("h2", has_text="Each query language")).first
    table = section.locator("table")

    def column() -> list[float]:
        return [
            float(text.split(" ")[0].replace(",", ""))
            for text in table.locator("tbody td:nth-child(2)").all_inner_texts()
        ]

    button = table.locator("thead button").nth(1)
    button.click()
    assert column() == sorted(column())
    assert table.locator("thead th").nth(1).get_attribute("aria-sort") == "ascending"
    button.click()
    assert column() == sorted(column(), reverse=True)
    table.locator("thead button").first.click()
    assert table.locator("tbody th").all_inner_texts() == sorted(table.locator("tbody th").all_inner_texts())
    for words, start in (("CSV", "query language,"), ("LaTeX", "\\begin{tabular}")):
        with page.expect_download() as download:
            section.get_by_role("link", name=words).click()
        download.value.save_as(tmp_path / words)
        assert download.value.suggested_filename.endswith({"CSV": ".csv", "LaTeX": ".tex"}[words])
        assert (tmp_path / words).read_text(encoding="utf-8").startswith(start)
    # Names of languages come from the browser.
    assert "asked in " in page.locator(".query").first.inner_text()
    assert page.locator(".query [data-lang]").first.inner_text() not in ("de", "en", "fr", "ja")
    page.close()


def test_a_test_that_is_not_significant_is_marked() -> None:
    open_one = Comparison("multi/mAP", Estimate(0.01, -0.01, 0.03), 0.1, 0.4, 0.4, 0.4, "a", "b")
    assert "#5d5d66" in differences([("a − b", {"multi/mAP": (0.01, -0.01, 0.03)})], [open_one.measure])


def test_without_judgements_the_report_makes_no_claim_about_quality(done: Audit, tmp_path: Path) -> None:
    both = parallel_corpus(40)
    corpus = Corpus.from_rows(both.queries.to_pylist(), both.passages.to_pylist(), [], name="log")
    encoder = make_encoder("static", corpus.passages["text"].to_pylist(), dimension=24, seed=0)
    found = audit(encoder, corpus, name="my-encoder", store=False)
    write_audit_report(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "This is no claim about quality: there are no relevance judgements." in text
    assert "Left out, “Three settings”: there are no relevance judgements." in text
    assert {"Three real queries", "What would help", "Language bias"} < set(heads(text))
    assert "mAP" not in text.partition("<main>")[2].partition(">Three real queries</h2>")[0]
    remedies = found.table.about.remedies
    assert remedies is not None
    assert set(remedies["systems"]["balanced"]) == {"bias/same-language share@10"}


def shown(page: str) -> str:
    """The words of a page, without tags."""
    return " ".join(
        html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<main>")[2].partition("</main>")[0])).split()
    )


def test_an_interval_stands_behind_the_value_that_it_belongs_to(done: Audit, folder: Path) -> None:
    words = shown((folder / "report.html").read_text(encoding="utf-8"))
    share, places, second = (done.estimates[name][0] for name in (SAME_LANGUAGE_SHARE, RANK_DISTANCE, MULTI_MAP))
    low, value, high = (measure_info(RANK_DISTANCE).shown(one) for one in (places.low, places.value, places.high))
    assert f"{percent(share.value)} [{percent(share.low)}, {percent(share.high)}] of the first 10 answers" in words
    assert f"{value} [{low}, {high}] of 160 places lie between translations of one answer" in words
    assert f"→ {second.value:.3f} [{second.low:.3f}, {second.high:.3f}] mAP within a language →" in words
    assert "the second [" not in words
    assert not re.search(r"fair would be \d+% \[", words)


@pytest.fixture(scope="module")
def of_vectors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Corpus, str]:
    """The folder with two files of vectors that lean to the own language, their corpus, and the report on them."""
    place, corpus = tmp_path_factory.mktemp("vectors"), parallel_corpus(40)
    rng = np.random.default_rng(0)
    langs = {lang: rng.normal(size=16) for lang in sorted(set(corpus.queries["lang"].to_pylist()))}
    meanings = {item: rng.normal(size=16) for item in sorted(set(corpus.queries["item"].to_pylist()))}
    for side in ("queries", "passages"):
        rows = getattr(corpus, side).to_pylist()
        vectors = [1.5 * langs[row["lang"]] + meanings[row["item"]] + 0.3 * rng.normal(size=16) for row in rows]
        np.save(place / f"{side}.npy", np.array(vectors, dtype=np.float32))
    vectors = Vectors(place / "queries.npy", place / "passages.npy", name="my-api")
    write_audit_report(Audit.of(vectors.rank(corpus)), place / "report.html")
    return place, corpus, (place / "report.html").read_text(encoding="utf-8")


def test_what_was_measured_has_words_and_no_empty_values(of_vectors: tuple[Path, Corpus, str]) -> None:
    measured = of_vectors[2].partition('id="measured"')[2]
    assert "queries.npy, float32, 16 dimensions, matched by row</dd>" in measured
    assert "<dd></dd>" not in measured
    assert "{" not in measured.partition("</dl>")[0]


@pytest.mark.parametrize("by_id", [(), ("queries", "passages"), ("passages",)])
def test_the_lines_of_numpy_for_vectors_run_and_help(
    of_vectors: tuple[Path, Corpus, str], by_id: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, corpus, text = of_vectors
    monkeypatch.chdir(tmp_path)
    corpus.save(tmp_path / "CORPUS")
    for side in ("queries", "passages"):
        # With ids the rows are in another order.
        step = -1 if side in by_id else 1
        np.save(f"{side}.npy", np.load(place / f"{side}.npy")[::step])
        if side in by_id:
            Path(f"{side}.ids.txt").write_text("\n".join(corpus.row_ids(side)[::-1]) + "\n", encoding="utf-8")
    before = Audit.of(Vectors("queries.npy", "passages.npy", name="my-api").rank(corpus))
    write_audit_report(before, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    blocks = [html.unescape(one) for one in re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)]
    code, command = blocks
    assert command == "babelmix audit --vectors my-api-centred=queries-centred.npy passages-centred.npy -c CORPUS"
    exec(compile(code, "report.html", "exec"), {})
    after = Audit.of(Vectors("queries-centred.npy", "passages-centred.npy", name="after").rank(corpus))
    assert after.macro(SAME_LANGUAGE_SHARE) < before.macro(SAME_LANGUAGE_SHARE) - 0.3
    assert after.macro(MULTI_MAP) > before.macro(MULTI_MAP)
    assert "babelmix debias" not in text
    assert "babelmix index" not in text
    assert "send each query once for each language" in text


def test_the_verdict_says_for_whom(done: Audit, folder: Path) -> None:
    cells = {lang: one.value for lang, one in done.estimates[SAME_LANGUAGE_SHARE][1].items()}
    words = shown((folder / "report.html").read_text(encoding="utf-8"))
    found = re.search(r"Biased\. Own language: most for (\w+) \(([\d.]+%)\), least for (\w+) \(([\d.]+%)\)\.", words)
    assert found is not None
    most, least = max(cells.values()), min(cells.values())
    assert (cells[found[1]], found[2]) == (most, percent(most))
    assert (cells[found[3]], found[4]) == (least, percent(least))
    assert "most for" not in shown((folder / "comparison.html").read_text(encoding="utf-8"))
