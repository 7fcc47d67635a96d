"""The page of the service, in a real browser: what a person types, drops, clicks and sees."""

from __future__ import annotations

import base64
import io
import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import png
from page_server import CONTRASTS, EXAMPLES, GIVE, PAGE, TRAP, Stand, a_page, browsing, picture, serving
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def service() -> Iterator[Stand]:
    with serving() as stand:
        yield stand


@pytest.fixture
def page(browser: Browser, service: Stand) -> Iterator[Page]:
    """A page in a browser without a past, which must not complain nor ask anything of another server."""
    with a_page(browser, service.address) as (page, troubles):
        yield page
    # The browser itself notes every answer that is an error.
    noted = [trouble for trouble in troubles if trouble.startswith("Failed to load resource")]
    assert troubles == (noted if service.failure or service.key else [])


def look(page: Page, service: Stand, address: str = "") -> None:
    page.goto(f"{service.address}/{address}")


def ask(page: Page, query: str) -> None:
    page.locator("#box").fill(query)
    page.locator("#box").press("Enter")


def answered(page: Page) -> None:
    expect(page.locator("main")).not_to_have_class("busy")


def tags(page: Page, column: int = 0) -> list[str]:
    """The languages of the answers of a column."""
    found = page.locator("#columns section").nth(column).locator(".hit .tag").all()
    return [tag.get_attribute("data-lang") or "" for tag in found]


def counts(page: Page) -> dict[str, int]:
    """The legend."""
    buttons = page.locator("#legend button")
    return {b.get_attribute("data-lang") or "": int(b.locator("b").text_content()) for b in buttons.all()}


def width_of(page: Page, selector: str) -> float:
    return page.locator(selector).bounding_box()["width"]


def choose(page: Page, value: str) -> None:
    page.locator(".choice:not(#switch) label", has=page.locator(f"input[value={value}]")).click()


def test_a_first_visit_shows_what_the_index_holds(page: Page, service: Stand) -> None:
    look(page, service)
    expect(page.locator("#box")).to_be_focused()
    expect(page.locator("#first")).to_contain_text("14 rows in 8 languages and pictures.")
    expect(page.locator("#encoder")).to_have_text("canned")
    assert counts(page) == {"de": 4, "en": 2, "zxx": 2, "ar": 1, "fr": 1, "he": 1, "hi": 1, "ja": 1, "zh": 1}
    wide, narrow = (width_of(page, f"#index [data-lang={lang}]") for lang in ("de", "ar"))
    assert wide == pytest.approx(4 * narrow, rel=0.05)
    assert not service.asked


def test_type_and_enter(page: Page, service: Stand) -> None:
    look(page, service)
    ask(page, "  save an image ")
    expect(page.locator(".hit")).to_have_count(10)
    assert service.asked == [{"query": "save an image", "k": 10, "policy": "any", "mode": "dense", "once": False}]
    expect(page.get_by_role("status").filter(has_text="10 answers in 6 languages, 1.5 ms")).to_be_visible()
    first = page.locator(".hit").first
    expect(first.locator(".text")).to_have_attribute("lang", "de")
    expect(first.locator(".tag")).to_have_attribute("title", "German (Deutsch)")
    expect(first.locator(".tag")).to_have_text("German")
    for fact in ("0.912", "save-image", "year", "2020", "section", "menu", "group", "pictures"):
        expect(first).to_contain_text(fact)
    assert page.url == f"{service.address}/?q=save+an+image"
    assert page.title() == "save an image · babelmix"
    scores = [float(text) for text in page.locator(".score").all_text_contents()]
    assert scores == sorted(scores, reverse=True)


def test_the_content_security_policy_is_in_force(browser: Browser, service: Stand) -> None:
    # A page of its own: the browser complains about what is refused.
    page = browser.new_page()
    look(page, service)
    expect(page.locator("#legend button").first).to_be_visible()
    refused = page.evaluate(
        """() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = 1' }));
        })"""
    )
    assert refused == "script-src-elem"
    assert page.evaluate("window.ran") is None
    assert page.locator("#index").evaluate("bar => getComputedStyle(bar).display") == "flex"
    page.close()


def test_what_the_server_says_is_text(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    expect(page.locator(".text", has_text="is not run")).to_have_text(TRAP)
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "x · babelmix"


def test_the_page_stands_alone() -> None:
    source = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\seval\(|\sstyle=", source)
    assert not re.search(r"<[^>]+\son[a-z]+=", source.split("<script>")[0])
    assert re.findall(r"https?://[^'\"\s]+", source) == ["http://www.w3.org/2000/svg"]


def test_the_policy_changes_bar_and_address(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    expect(page.locator(".hit")).to_have_count(10)
    assert counts(page)["de"] == 4
    width = width_of(page, "#answers [data-lang=de]")
    choose(page, "balanced")
    expect(page.locator("#legend button")).to_have_count(9)
    assert counts(page)["de"] == 2
    assert page.url.endswith("/?q=x&policy=balanced")
    assert width_of(page, "#answers [data-lang=de]") == pytest.approx(width / 2, rel=0.05)

    choose(page, "quota")
    expect(page).to_have_url(f"{service.address}/?q=x&policy=quota%3D3")
    page.locator("#quota input").fill("5")
    page.locator("#quota input").press("Enter")
    expect(page).to_have_url(f"{service.address}/?q=x&policy=quota%3D5")

    choose(page, "prefer")
    expect(page.locator("#notice")).to_have_text("Choose at least one language.")
    for name in ("日本語", "français"):
        page.locator("#picks").get_by_text(name).click()
        answered(page)
    expect(page).to_have_url(f"{service.address}/?q=x&policy=prefer%3Dja%2Cfr")
    expect(page.locator(".tag").first).to_have_text("French")
    assert tags(page)[:2] == ["fr", "ja"]
    assert [asked["policy"] for asked in service.asked[-2:]] == ["prefer=ja", "prefer=ja,fr"]


def test_a_language_of_the_bar_is_shown_alone_and_again_not(page: Page, service: Stand) -> None:
    look(page, service, "?q=x&policy=balanced")
    page.locator("#answers [data-lang=en]").click()
    expect(page.locator(".hit")).to_have_count(2)
    assert set(tags(page)) == {"en"}
    assert page.url.endswith("/?q=x&policy=only%3Den")
    page.get_by_role("button", name="English: 2 answers", pressed=True).click()
    expect(page.locator(".hit")).to_have_count(10)
    assert page.url.endswith("/?q=x&policy=balanced")
    page.locator("#legend [data-lang=ar]").press("Enter")
    expect(page.locator(".hit")).to_have_count(1)
    expect(page.locator("#legend [data-lang=ar]")).to_be_focused()


def test_mode_and_once(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    choose(page, "hybrid")
    page.get_by_label("each item once").check()
    expect(page.locator(".hit")).to_have_count(4)
    assert service.asked[-1]["mode"] == "hybrid"
    assert service.asked[-1]["once"] is True
    assert page.url.endswith("/?q=x&mode=hybrid&once=1")
    assert page.locator("#modes label").all_text_contents() == ["by meaning", "by words", "both"]


def test_an_index_without_words_has_no_modes_to_choose(page: Page, service: Stand) -> None:
    service.modes = ("dense",)
    look(page, service, "?q=x&mode=hybrid")
    expect(page.locator(".hit")).to_have_count(10)
    assert service.asked[-1]["mode"] == "dense"
    expect(page.locator("#modes")).to_be_hidden()


def test_side_by_side(page: Page, service: Stand) -> None:
    """Both policies are asked; each has its answers, its bar, and a mark at what the other does not have."""
    look(page, service, "?q=x")
    expect(page.locator(".hit")).to_have_count(10)
    choose(page, "compare")
    expect(page).to_have_url(f"{service.address}/?q=x&policy=compare")
    expect(page.locator(".hit")).to_have_count(20)
    assert sorted(asked["policy"] for asked in service.asked[-2:]) == ["any", "balanced"]
    assert page.get_by_role("heading", level=2).all_text_contents()[-2:] == ["any", "balanced"]
    left, right = (page.get_by_role("list", name=f"Answers, {name}") for name in ("any", "balanced"))
    assert left.bounding_box()["x"] + left.bounding_box()["width"] <= right.bounding_box()["x"]
    assert (tags(page).count("de"), tags(page, 1).count("de")) == (4, 2)
    expect(page.get_by_role("button", name="German (Deutsch): any 4, balanced 2")).to_contain_text("4 | 2")
    wide, narrow = (width_of(page, f"#{bar} [data-lang=de]") for bar in ("answers", "others"))
    assert narrow == pytest.approx(wide / 2, rel=0.05)
    ids = [
        {hit.get_attribute("aria-label").split(", score")[0].partition(": ")[2] for hit in one.locator(".hit").all()}
        for one in (left, right)
    ]
    expect(left.get_by_text("only under any")).to_have_count(len(ids[0] - ids[1]))
    expect(right.get_by_text("only under balanced")).to_have_count(len(ids[1] - ids[0]))
    expect(page.locator("#status")).to_contain_text("balanced: 10 answers in 8 languages")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100

    page.reload()
    expect(page.locator(".hit")).to_have_count(20)
    page.get_by_role("button", name="More").click()
    expect(page.locator(".hit")).to_have_count(28)
    choose(page, "any")
    expect(page.locator(".hit")).to_have_count(14)


def test_keys_side_by_side(page: Page, service: Stand) -> None:
    look(page, service, "?q=x&policy=compare")
    expect(page.locator(".hit")).to_have_count(20)
    first, second = (page.locator("#columns section").nth(n).locator(".hit") for n in (0, 1))
    press = page.keyboard.press
    for key, there in (
        ("ArrowDown", first.nth(0)),
        ("j", first.nth(1)),
        ("ArrowRight", second.nth(1)),
        ("k", second.nth(0)),
    ):
        press(key)
        expect(there).to_be_focused()
    press("ArrowLeft")
    expect(first.nth(0)).to_be_focused()
    press("ArrowUp")
    expect(page.locator("#box")).to_be_focused()


def test_one_switch_on_a_narrow_screen(page: Page, service: Stand) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    look(page, service, "?q=x&policy=compare")
    first, second = page.locator("#columns section").all()
    expect(first).to_be_visible()
    expect(second).to_be_hidden()
    page.get_by_role("radiogroup", name="Policy to show").get_by_text("balanced").click()
    expect(second).to_be_visible()
    expect(first).to_be_hidden()
    assert page.url.endswith("/?q=x&policy=compare&side=balanced")
    # A text that could not be seen is cut now that it can.
    page.set_viewport_size({"width": 1100, "height": 800})
    expect(first).to_be_visible()
    expect(page.locator("#switch")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    expect(second).to_be_visible()
    expect(first).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_one_failure_of_two_is_a_sentence(page: Page, service: Stand) -> None:
    look(page, service)
    expect(page.locator("#first")).to_be_visible()
    service.failure = (503, "{}")
    page.route("**/search", lambda route: route.fulfill(status=503, json={"error": "Balanced is tired."})
               if "balanced" in (route.request.post_data or "") else route.fallback())  # fmt: skip
    service.failure, failed = None, service.failure
    choose(page, "compare")
    ask(page, "x")
    expect(page.get_by_role("alert")).to_contain_text("Balanced is tired.")
    assert page.locator(".hit:visible").count() == 0
    page.unroute("**/search")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".hit")).to_have_count(20)
    service.failure = failed


def test_examples_are_searched_side_by_side(page: Page, service: Stand) -> None:
    look(page, service)
    buttons = page.locator("#examples button")
    expect(buttons).to_have_count(3)
    assert buttons.all_text_contents() == [text for text, _ in EXAMPLES]
    expect(buttons.nth(1)).to_have_attribute("lang", "ar")
    assert buttons.nth(1).evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.locator("img[src=x]").count() == 0
    buttons.first.click()
    expect(page.locator(".hit")).to_have_count(20)
    assert {asked["query"] for asked in service.asked} == {EXAMPLES[0][0]}
    page.go_back()
    expect(buttons.first).to_be_visible()


def test_titles_are_bold_and_linked_to_pages_of_the_web_alone(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    expect(page.locator(".hit")).to_have_count(10)
    title = page.locator(".hit").first.locator("h3")
    expect(title).to_have_text("Bilder speichern")
    assert int(title.evaluate("element => getComputedStyle(element).fontWeight")) >= 600
    link = title.get_by_role("link")
    expect(link).to_have_attribute("href", "https://help.example/de/save?a=1&b=2")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(page.locator(".hit").first.locator(".meta")).not_to_contain_text("https")
    for place, text in ((1, "Bilder ausgeben"), (2, "<b onclick=alert()>Falle</b>")):
        expect(page.locator(".hit").nth(place).locator("h3")).to_have_text(text)
        expect(page.locator(".hit").nth(place).get_by_role("link")).to_have_count(0)
    alone = page.locator(".hit", has=page.locator("[lang=en]")).first
    expect(alone.locator("h3")).to_have_count(0)
    expect(alone.locator(".meta a")).to_have_attribute("href", "http://help.example/en/save")
    links = page.locator("#columns a").evaluate_all("all => all.map(one => one.protocol)")
    assert sorted(links) == ["http:", "https:", "https:"]
    arabic = page.locator("h3[lang=ar]")
    assert arabic.evaluate("element => getComputedStyle(element).direction") == "rtl"


def test_what_i_read(browser: Browser, service: Stand) -> None:
    """The boxes are those of the index, and the browser's languages are checked at first."""
    context = browser.new_context(locale="de-CH", viewport={"width": 1100, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    look(page, service, "?q=x")
    expect(page.locator(".hit")).to_have_count(10)
    expect(page.locator("#reads")).to_be_hidden()
    assert service.asked[-1]["policy"] == "any"
    choose(page, "reads")
    boxes = page.get_by_role("group", name="Languages I read").get_by_role("checkbox")
    assert boxes.evaluate_all("all => all.map(one => one.value)") == ["de", "en", "ar", "fr", "he", "hi", "ja", "zh"]
    assert boxes.evaluate_all("all => all.filter(one => one.checked).map(one => one.value)") == ["de"]
    expect(page.locator(".hit")).to_have_count(4)
    page.locator("#reads").get_by_text("日本語").click()
    expect(page.locator(".hit")).to_have_count(5)
    assert (service.asked[-1]["policy"], service.asked[-1].get("show")) == ("any,reads=de,ja", None)
    assert page.url.endswith("/?q=x&reads=de%2Cja")

    choose(page, "mine")
    expect(page.locator(".also").first).to_have_text(re.compile("^also in: Arabic, English, French"))
    assert service.asked[-1]["show"] == "mine"
    assert page.url.endswith("/?q=x&reads=de%2Cja&show=mine")
    choose(page, "compare")
    expect(page.get_by_role("list", name="Answers, balanced")).to_be_visible()
    assert sorted(asked["policy"] for asked in service.asked[-2:]) == ["any,reads=de,ja", "balanced,reads=de,ja"]
    page.reload()
    expect(page.locator(".also").first).to_be_visible()
    assert page.locator("#reads :checked").evaluate_all("all => all.map(one => one.value)") == ["de", "ja"]

    for name in ("Deutsch", "日本語"):
        page.locator("#reads").get_by_text(name).click()
    expect(page.locator("#notice")).to_have_text("Choose at least one language.")
    choose(page, "only")
    expect(page.locator("#reading")).to_be_hidden()
    context.close()


def test_own_asks_for_the_query_s_language(page: Page, service: Stand) -> None:
    look(page, service, "?q=x&policy=own%3D7%3Aadaptive")
    expect(page.locator(".hit")).to_have_count(10)
    assert (service.asked[-1]["policy"], service.asked[-1]["query_lang"]) == ("own=7:adaptive", "detect")
    page.locator("#quota input").fill("30")
    page.locator("#quota input").press("Enter")
    expect(page).to_have_url(f"{service.address}/?q=x&policy=own%3D10%3Aadaptive")


NAMELESS = """() => [...document.querySelectorAll('a, button, input, [role=img], [role=radiogroup], [role=group], dialog')]
    .filter(one => one.checkVisibility() && !(one.ariaLabel || one.textContent.trim() || one.labels?.length
        || one.getAttribute('aria-labelledby'))).map(one => one.outerHTML)"""
"""What a screen reader could not name."""

LEVELS = "() => [...document.querySelectorAll('h1, h2, h3')].filter(one => one.checkVisibility()).map(one => +one.tagName[1])"


@pytest.mark.parametrize("address", ["", "?q=x&policy=compare&reads=de,ar&show=mine", "?q=x&policy=quota%3D3"])
def test_everything_has_a_name_an_id_of_its_own_and_a_level(page: Page, service: Stand, address: str) -> None:
    look(page, service, address)
    expect(page.locator("#examples button, .hit").locator("visible=true").first).to_be_visible()
    assert page.evaluate(NAMELESS) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(set(ids)) == len(ids)
    levels = page.evaluate(LEVELS)
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    # Everything is reached by the keyboard, in the order in which it stands.
    assert page.locator("[tabindex]").evaluate_all("all => all.every(one => one.tabIndex <= 0)")


def test_right_to_left(page: Page, service: Stand) -> None:
    direction = "element => getComputedStyle(element).direction"
    look(page, service)
    assert page.locator("#box").evaluate(direction) == "ltr"
    ask(page, "حفظ صورة")
    assert page.locator("#box").evaluate(direction) == "rtl"
    hit = page.locator(".hit", has=page.locator("[lang=ar]"))
    assert hit.locator(".text").evaluate(direction) == "rtl"
    tag, text = hit.locator(".tag").bounding_box(), hit.locator(".text").bounding_box()
    assert tag["x"] > text["x"] + text["width"]
    assert page.locator("[lang=ja]").last.evaluate(direction) == "ltr"


def test_more(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    page.get_by_role("button", name="More").click()
    expect(page.locator(".hit")).to_have_count(14)
    expect(page.locator(".hit").nth(10)).to_be_focused()
    expect(page.locator("#more")).to_be_hidden()
    assert page.url.endswith("/?q=x&k=20")
    expect(page.locator(".picture").first).to_have_attribute("src", re.compile("^data:image/png;base64,"))
    expect(page.locator(".picture").first).to_have_js_property("naturalWidth", 16)


def test_a_long_text_unfolds(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    hit = page.locator(".hit", has_text="Satz 0")
    folded = hit.bounding_box()["height"]
    hit.get_by_role("button", name="Show all").click()
    assert hit.bounding_box()["height"] > 2 * folded
    assert page.get_by_role("button", name="Show all").count() == 0


def test_an_empty_answer_gives_advice(page: Page, service: Stand) -> None:
    look(page, service, "?q=nothing&policy=only%3Dar")
    expect(page.locator("#empty")).to_contain_text("Nothing found. The policy searches few languages: widen it.")
    page.get_by_role("button", name="Search all languages").click()
    expect(page.locator("#empty")).to_contain_text("The index has no rows to compare with.")
    assert page.url.endswith("/?q=nothing")
    choose(page, "words")
    expect(page.locator("#empty")).to_contain_text("No text has these words.")


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (503, '{"error": "Too many searches wait; try again."}', "Too many searches wait; try again."),
        (502, "<html>a proxy</html>", "The service answered 502 Bad Gateway."),
    ],
    ids=["ours", "a proxy's"],
)
def test_an_error_is_a_sentence(page: Page, service: Stand, status: int, body: str, sentence: str) -> None:
    look(page, service)
    expect(page.locator("#first")).to_be_visible()
    service.failure = (status, body)
    ask(page, "x")
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    failed, service.failure = service.failure, None
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".hit")).to_have_count(10)
    service.failure = failed


def test_no_network(page: Page, service: Stand) -> None:
    look(page, service)
    expect(page.locator("#first")).to_be_visible()
    service.failure = (500, "")  # Errors are on the console.
    page.route("**/search", lambda route: route.abort())
    ask(page, "x")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    page.unroute("**/search")


def test_a_key_is_asked_for_and_kept_in_the_tab(page: Page, service: Stand) -> None:
    service.key = "right"
    look(page, service, "?q=x")
    field = page.get_by_role("dialog").get_by_label("Key", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("This key is not known; give another.")
    field.fill("right")
    field.press("Enter")
    expect(page.locator(".hit")).to_have_count(10)
    page.reload()
    expect(page.locator(".hit")).to_have_count(10)
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
    service.key = "another"
    ask(page, "y")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("The service needs a key.")


def test_a_shared_address_and_the_way_back(page: Page, service: Stand) -> None:
    look(page, service, "?q=Bild&policy=quota%3D4&mode=words&once=1&k=12")
    expect(page.locator(".hit")).to_have_count(4)
    assert service.asked == [{"query": "Bild", "k": 12, "policy": "quota=4", "mode": "words", "once": True}]
    expect(page.locator("#quota input")).to_have_value("4")
    expect(page.locator("input[value=words]")).to_be_checked()
    ask(page, "second")
    answered(page)
    assert page.url.endswith("/?q=second&policy=quota%3D4&mode=words&once=1")
    choose(page, "any")
    answered(page)
    page.go_back()
    expect(page.locator("input[value=quota]")).to_be_checked()
    expect(page.locator("#box")).to_have_value("second")
    answered(page)
    page.go_back()
    expect(page.locator("#box")).to_have_value("Bild")
    answered(page)
    page.go_forward()
    expect(page.locator("#box")).to_have_value("second")
    answered(page)
    assert [asked["query"] for asked in service.asked] == ["Bild", "second", "second", "second", "Bild", "second"]


def test_an_old_answer_does_not_replace_a_new_one(page: Page, service: Stand) -> None:
    service.gates["slow"] = threading.Event()
    look(page, service)
    ask(page, "slow")
    expect(page.locator("#status")).to_have_text("Searching …")
    # The page gives up the old request, so that its answer cannot come any more.
    with page.expect_event("requestfailed", lambda request: "slow" in (request.post_data or "")):
        ask(page, "nothing")
    expect(page.locator("#empty")).to_be_visible()
    service.gates["slow"].set()
    expect(page.locator("#empty")).to_be_visible()
    assert page.locator(".hit").count() == 0


def test_keys(page: Page, service: Stand) -> None:
    look(page, service, "?q=x")
    expect(page.locator(".hit")).to_have_count(10)
    hits, box, press = page.locator(".hit"), page.locator("#box"), page.keyboard.press
    for key, place in (("ArrowDown", 0), ("j", 1), ("ArrowDown", 2), ("k", 1), ("ArrowUp", 0)):
        press(key)
        expect(hits.nth(place)).to_be_focused()
    assert hits.first.evaluate("hit => getComputedStyle(hit).outlineStyle") == "solid"
    press("ArrowUp")
    expect(box).to_be_focused()
    press("ArrowDown")
    press("/")
    expect(box).to_be_focused()
    press("End")
    page.keyboard.type("/?jk")
    expect(box).to_have_value("x/?jk")
    press("ArrowDown")
    press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    press("Escape")
    expect(box).to_have_value("")
    expect(box).to_be_focused()
    expect(page.locator("#first")).to_be_visible()
    assert page.url == f"{service.address}/"


def test_a_dropped_picture_is_the_query(page: Page, service: Stand) -> None:
    from PIL import Image

    look(page, service, "?q=x&mode=words")
    expect(page.locator(".hit")).to_have_count(10)
    page.evaluate(GIVE, [picture(1200, 600), "image/png", "drop"])
    expect(page.locator("#chip")).to_be_visible()
    expect(page.locator(".hit .tag").first).to_have_text("Picture")
    asked = service.asked[-1]
    assert "query" not in asked
    assert asked["mode"] == "dense"
    assert Image.open(io.BytesIO(base64.b64decode(asked["image"]))).size == (512, 256)
    expect(page.locator("#status")).to_contain_text("the picture is not part of this page’s address")
    assert page.url.endswith("/?mode=words")
    expect(page.locator("#box")).to_have_value("")

    page.go_back()
    expect(page.locator("#box")).to_have_value("x")
    expect(page.locator("#chip")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#chip")).to_be_visible()
    page.get_by_role("button", name="Remove the picture").click()
    expect(page.locator("#chip")).to_be_hidden()
    expect(page.locator("#first")).to_be_visible()


def test_a_chosen_picture_then_words_then_a_pasted_picture(page: Page, service: Stand) -> None:
    look(page, service)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Search with a picture").click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": png((1, 2, 3))})
    expect(page.locator("#chip")).to_be_visible()
    ask(page, "words")
    expect(page.locator("#chip")).to_be_hidden()
    answered(page)
    assert service.asked[-1]["query"] == "words"
    page.evaluate(GIVE, [picture(4, 4), "image/png", "paste"])
    expect(page.locator("#chip")).to_be_visible()


def test_what_is_no_picture_is_said_politely(page: Page, service: Stand) -> None:
    look(page, service)
    expect(page.locator("#first")).to_be_visible()
    page.evaluate(GIVE, [base64.b64encode(b"words").decode(), "text/plain", "drop"])
    expect(page.locator("#notice")).to_have_text("This file cannot be read as a picture.")
    service.pictures = False
    page.reload()
    expect(page.locator("#first")).to_be_visible()
    expect(page.locator("#choose")).to_be_hidden()
    page.evaluate(GIVE, [picture(4, 4), "image/png", "drop"])
    expect(page.locator("#notice")).to_contain_text("embeds texts only")
    assert not service.asked


@pytest.mark.parametrize(
    "address",
    [
        "",
        "?q=x&k=20",
        "?q=x&policy=compare",
        "?q=x&reads=de&show=mine",
        "?q=x&policy=prefer%3Dde",
        "?q=nothing&policy=only%3Dar",
    ],
)
def test_a_phone_needs_no_sideways_scrolling(page: Page, service: Stand, address: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    look(page, service, address)
    expect(page.locator("#first, .hit, #empty").locator("visible=true").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("policy", ["any", "compare"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(page: Page, service: Stand, scheme: str, policy: str) -> None:
    """Contrast as WCAG computes it: 4.5 for texts, in both schemes."""
    page.emulate_media(color_scheme=scheme)
    look(page, service, f"?q=x&k=20&policy={policy}")
    expect(page.locator(".hit")).to_have_count(28 if policy == "compare" else 14)
    contrasts = page.evaluate(CONTRASTS)
    assert min(contrasts)[0] >= 4.5, min(contrasts)


@pytest.mark.slow
def test_the_script_that_takes_pictures_of_the_page(service: Stand, tmp_path: Path) -> None:
    from PIL import Image

    command = [sys.executable, "benchmarks/screenshots.py", service.address, "image", "صورة", "--to", str(tmp_path)]
    subprocess.run(command, cwd=PAGE.parents[4], check=True, capture_output=True)
    sizes = {file.name: Image.open(io.BytesIO(file.read_bytes())).size for file in tmp_path.iterdir()}
    assert sizes == {"page-search.png": (1280, 900), "page-phone.png": (390, 844)}
    asked = sorted((one["query"], one["policy"]) for one in service.asked)
    assert asked == [("image", "any"), ("image", "balanced"), ("صورة", "balanced")]
