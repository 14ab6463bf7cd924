"""The report in a real browser: it runs its own script and no other, and suits screen and hand.

Where there is no `chromium` these tests are skipped.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tasks.report.comparison import page as comparison
from tasks.report.html import render
from tests.report.test_comparison import document, way
from tests.reporting import NUM_PREDICTIONS, toy_facts

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
RUN = "window.injected = true"
INJECTIONS = {
    "script": f"<script>{RUN}</script>",
    "image": f"<img src=x onerror='{RUN}'>",
    "svg": f"<svg onload='{RUN}'><script>{RUN}</script></svg>",
    "iframe": f"<iframe srcdoc=\"<script>parent.{RUN}</script>\"></iframe>",
    "link": f"<a href='javascript:{RUN}' autofocus onfocus='{RUN}'>a</a>",
    "double quote": f'" autofocus tabindex=0 onfocus="{RUN}',
    "single quote": f"' autofocus tabindex=0 onfocus='{RUN}",
    "end of script": f"</script><script>{RUN}</script>",
    "end of style": f"</style><script>{RUN}</script>",
    "end of title": f"</title></desc></svg><script>{RUN}</script>",
    "comment": f"--><script>{RUN}</script><!--",
    "template": "{{ 7 * 7 }}{% include 'style.css' %}",
    "entity": f"&lt;script&gt;{RUN}&#60;/script&#62;",
    "cdata": f"]]><script>{RUN}</script>",
    "policy": '<meta http-equiv="refresh" content="0; url=http://127.0.0.1:9/">',
    "style": "<style>* { display: none }</style>",
    "base": "<base href='http://127.0.0.1:9/'><link rel=stylesheet href=x>",
}  # fmt: skip
"""What data and models may say to a browser that does not take it for text."""

CONTRAST = """(selector) => {
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" && element.parentElement
      ? behind(element.parentElement) : colour;
  };
  return [...document.querySelectorAll(selector)].map((element) => {
    const [dark, light] = [getComputedStyle(element).color, behind(element)]
      .map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  });
}"""
"""The contrast of each element's text, by WCAG 2."""

TEXTS = "p, li, th, td, dt, dd, summary, .soft, .told, .interval, a, mark, strong, label"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which every injection stands in every text of data and models."""
    folder = tmp_path_factory.mktemp("report")
    html = render(toy_facts(folder, " ".join(INJECTIONS.values())))
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Open]:
    """Opens the report; nothing may go to the console or be asked of anyone meanwhile."""
    told: list[str] = []
    asked: list[str] = []
    pages: list[Page] = []

    def open_page(width: int = 1280, scheme: str = "light", media: str = "screen") -> Page:
        size = {"width": width, "height": 800}
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.emulate_media(media=media)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: told.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.evaluate("window.injected") is None
        page.close()
    assert told == []
    assert set(asked) == {report.as_uri()}


def test_injections_do_not_run_and_are_shown_as_text(opened: Open) -> None:
    page = opened()
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    shown = page.locator("main").evaluate("(main) => main.textContent")
    for name, text in INJECTIONS.items():
        assert shown.count(text) > 100, name
    assert page.locator("iframe, img, base, link, main script, main style, main meta").count() == 0
    assert page.locator("main [autofocus], main [onfocus]").count() == 0
    assert page.locator("h1").is_visible()


def test_a_comparison_shows_its_text_as_text(browser: Browser, tmp_path: Path) -> None:
    text = " ".join(INJECTIONS.values())
    claim = {"claim": text, "verdict": "refuted", "evidence": text}
    ways = {"zero_shot": way(0.0, 0, 0.0), f"full {text}": way(0.1, 70, 0.4)}
    html = comparison(document(recipe=text, ways=ways, left_out={text: text}, claims=[claim]))
    path = tmp_path / "comparison.html"
    path.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": 375, "height": 800})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.goto(path.as_uri())
    shown = page.locator("main").evaluate("(main) => main.textContent")
    assert all(shown.count(text) >= 6 for text in INJECTIONS.values())
    assert page.evaluate("window.injected") is None
    assert page.locator("script, iframe, img, base, link").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    label = page.locator("svg.frontier text").first
    assert label.evaluate("(text) => text.getBoundingClientRect().height") >= 10  # pixels
    assert told == []
    page.close()


def test_a_script_that_got_in_would_be_stopped(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    broken = report.read_text(encoding="utf-8").replace(
        "<main>", f"<main><script>{RUN}</script><img src='http://127.0.0.1:9/' onerror='{RUN}'>"
    )
    page.set_content(broken)
    assert page.evaluate("window.injected") is None
    assert sum("Content Security Policy" in text for text in refused) >= 3
    page.close()


def test_search_filters_and_counts(opened: Open) -> None:
    page = opened()
    status, examples = page.locator("#matches"), page.locator("details.example:visible")
    assert status.inner_text() == "30 of 30 examples match"
    page.fill("#search", "WORST")
    assert (status.inner_text(), examples.count()) == ("10 of 30 examples match", 10)
    page.fill("#search", f"zoe gist {NUM_PREDICTIONS - 1}:")
    assert (status.inner_text(), examples.count()) == ("1 of 30 examples match", 1)
    page.fill("#search", "no such words")
    assert (status.inner_text(), examples.count()) == ("0 of 30 examples match", 0)
    page.fill("#search", "")
    assert examples.count() == 30


def test_the_keyboard_reaches_everything(opened: Open) -> None:
    page = opened()
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.innerText") == "Skip to the verdict"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "verdict"
    page.keyboard.press("Tab")
    outline = f"getComputedStyle({focused}).outlineStyle"
    for _ in range(20):
        assert page.evaluate(outline) == "solid"
        if page.evaluate(f"{focused}.id") == "search":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("median")
    assert page.locator("details.example:visible").count() == 10
    page.keyboard.press("Tab")
    first = page.locator("details.example:visible").first
    assert first.evaluate("(details) => details.open") is False
    page.keyboard.press("Enter")
    assert first.evaluate("(details) => details.open") is True


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_does_not_scroll_sideways(opened: Open, width: int) -> None:
    page = opened(width)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_both_schemes_can_be_read(opened: Open) -> None:
    backs = set()
    for scheme in ("light", "dark"):
        page = opened(scheme=scheme)
        backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        contrasts = page.evaluate(CONTRAST, TEXTS)
        assert len(contrasts) > 500
        assert min(contrasts) >= 4.5, scheme
    assert len(backs) == 2


def test_print_shows_what_is_folded(opened: Open) -> None:
    page = opened(media="print", scheme="dark")
    folded = page.locator("details.example:not([open]) dt").first
    assert folded.is_visible()
    assert not page.locator("search").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_every_plot_has_a_name(opened: Open) -> None:
    page = opened()
    unnamed = page.locator("svg:not(:has(> title)), svg:not([role=img])")
    assert page.locator("svg").count() > 20 and unnamed.count() == 0
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("navigation").count() == page.get_by_role("main").count() == 1
