"""Make a PDF of the built book, _build/pdf/book.pdf.

Usage: python tools/pdf.py [--output FILE] [book/04_growth ...]

The articles of all pages are put on one page, which Chromium prints. Proofs and solutions, which a
reader would have to open, are open; code that is folded on the page stays away, and the end of a
chapter says where it is. A slider is replaced by its first picture, a live figure by its still
picture and its sentence, an explorer of networks by a picture of it. References lead to pages of
the PDF.
"""

import argparse
import base64
import html
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from address import UNPUBLISHED
from browser import SITE, find_chromium, launch, open_page
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, expect
from pypdf import PdfReader

from forward_stability.book.live import style

ROOT = SITE.parents[1]
OUTPUT = ROOT / "_build" / "pdf" / "book.pdf"
PATIENCE = 900_000  # milliseconds

STYLE = """
@page { size: A4; margin: 18mm 18mm 20mm; }
html { font-size: 13px; }
body { background: #fff; display: block; }
.bd-content { display: block; }
.bd-content .bd-article-container, .bd-content .bd-article {
  display: block; max-width: none; padding: 0; width: auto; }
article { break-before: page; }
h1, h2, h3, h4, .admonition-title { break-after: avoid; }
img, tr, mjx-container[display=true], .explore, .figure, .fs-still { break-inside: avoid; }
img, .bd-content div.cell_output img, :is(.figure, .picture, .fs-still) svg {
  height: auto; max-height: 120mm; max-width: 100%; object-fit: contain; }
.fs-still svg { width: 100%; }
/* what scrolls is not broken between pages; but MathJax hides parts of long brackets */
.bd-content :not(mjx-container, mjx-container *) { overflow: visible !important; }
.bd-content :is(div.highlight, div[class*=highlight-]) { break-inside: auto; display: block; }
.bd-content pre {
  break-inside: auto; font-size: 0.8rem; overflow-wrap: anywhere; white-space: pre-wrap; }
a.headerlink { display: none; }
.cover { margin: 60mm auto 0; max-width: 130mm; text-align: center; }
.cover h1 { font-size: 2.6rem; }
.cover .cite { font-size: 0.9rem; margin-top: 60mm; text-align: left; }
.contents { break-before: page; }
.contents p { break-after: avoid; font-weight: 600; margin: 1rem 0 0; }
.contents a { color: inherit; display: flex; justify-content: space-between; }
"""
WIDTH = 658  # pixels of CSS between the margins
SHRINK = """() => {
  for (const box of document.querySelectorAll("mjx-container[display=true]")) {
    const ratio = box.clientWidth / box.firstElementChild.getBoundingClientRect().width;
    if (ratio < 1) box.style.fontSize = `${parseFloat(box.style.fontSize) * ratio}%`;
  }
}"""
"""Makes formulas that stay wider than the page when they are broken into lines smaller."""

FOOTER = (
    '<div style="font-size: 9px; text-align: center; width: 100%">'
    '<span class="pageNumber"></span></div>'
)


@dataclass
class Article:
    """A page of the book: its name, such as "book/04_growth", and the part that it opens."""

    name: str
    part: str | None
    soup: BeautifulSoup

    @property
    def title(self) -> str:
        heading = self.soup.h1
        assert heading is not None
        return heading.get_text().removesuffix("#")


def pages() -> list[tuple[str, str | None]]:
    """All pages in the order of the book, with the part of the book that begins there."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    found: list[tuple[str, str | None]] = [(contents["root"], None)]
    for part in contents["parts"]:
        for number, chapter in enumerate(part["chapters"]):
            found.append((chapter["file"], part.get("caption") if number == 0 else None))
    return found


def read(name: str, part: str | None) -> Article:
    """The article of a built page without scripts, its addresses unique in the book."""
    page = (SITE / f"{name}.html").read_text("utf-8")
    article = page[page.index("<article") : page.index("</article>")] + "</article>"
    article = re.sub(r"(?s)<script.*?</script>", "", article)
    soup = BeautifulSoup(article, "html.parser")
    for number, drawing in enumerate(soup.select("svg")):
        own_parts(drawing, f"{name}-drawing-{number}-")
    for tag in soup.select("[id]:not(svg, svg *)"):
        tag["id"] = anchor(name, str(tag["id"]))
    assert soup.article is not None
    soup.article["id"] = anchor(name)
    for link in soup.select("a.download"):
        link.unwrap()  # paper holds no files
    for link in soup.select("a.internal[href]"):
        place, _, identifier = str(link["href"]).partition("#")
        target = f"{Path(name).parent.as_posix()}/{Path(place).stem}" if place else name
        link["href"] = f"#{anchor(target, identifier)}"
    return Article(name, part, soup)


def own_parts(drawing: Tag, prefix: str) -> None:
    """Make the identifiers of a drawing, such as those of what clips it, its own in the book."""
    for tag in [drawing, *drawing.find_all(True)]:
        for name, value in list(tag.attrs.items()):
            if name == "id":
                tag[name] = f"{prefix}{value}"
            elif name.endswith("href"):
                tag[name] = re.sub("^#", f"#{prefix}", str(value))
            elif isinstance(value, str):
                tag[name] = value.replace("url(#", f"url(#{prefix}")


def anchor(name: str, identifier: str = "") -> str:
    return f"{name}--{identifier}" if identifier else name


def open_all(article: Article) -> None:
    """Show what is folded but for code, and take away what only a browser can use."""
    soup = article.soup
    for useless in soup.select("form.question :is(input, button, output)"):
        useless.decompose()
    for details in soup.select("details"):
        if "hide" in details.get_attribute_list("class"):
            leave_prompt(details)
        else:
            details["open"] = ""
    for control in soup.select(".explore-control"):
        label = control.label.get_text() if control.label else ""
        choice = control.select_one("output, option[selected], option")
        control.replace_with(f"{label}: {choice.get_text() if choice else ''}. ")


def leave_prompt(details: Tag) -> None:
    """Put what a folded cell says of itself in its place, if that is more than that it is code."""
    prompt = details.select_one("summary .collapsed")
    assert prompt is not None
    if prompt.get_text() == "Code":
        details.decompose()
    else:
        prompt.name, prompt.attrs = "p", {}
        details.replace_with(prompt)


def place(article: Article) -> str:
    """Where its chapter lives, as HTML: a link as soon as the project has an address."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]
    file = f"{article.name}.ipynb"
    if config["url"] == UNPUBLISHED:
        return f"<code>{file}</code>"
    return f'<a href="{config["url"]}/blob/{config["branch"]}/{file}">{file}</a>'


def keep_still(article: Article) -> None:
    """Leave of each live figure its picture, its sentence, and where it moves."""
    for live in article.soup.select(".live:has(> .fs-still)"):
        still = live.select_one(".fs-still")
        assert still is not None
        still.append(BeautifulSoup(f"<p>To move it: {place(article)}</p>", "html.parser"))
        live.replace_with(still)


def add_place(article: Article) -> None:
    """Say at the end of a chapter where its code is."""
    if (ROOT / f"{article.name}.ipynb").is_file() and article.soup.article is not None:
        text = f"<p>All code of this chapter: {place(article)}</p>"
        article.soup.article.append(BeautifulSoup(text, "html.parser"))


def add_pictures(browser: Browser, article: Article) -> None:
    """Put a picture of each explorer of networks in its place."""
    explorers: list[Tag] = article.soup.select(".live")
    if not explorers:
        return
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.set_default_timeout(PATIENCE)
    open_page(page, (SITE / f"{article.name}.html").as_uri())
    found = page.locator(".live:not(:has(> .fs-stage))")
    for number, explorer in enumerate(explorers):
        live = found.nth(number)
        live.scroll_into_view_if_needed()
        live.locator("[data-level], [data-shown]").first.wait_for()
        expect(live.get_by_text("Looking for")).to_have_count(0, timeout=PATIENCE)
        picture = base64.b64encode(live.screenshot()).decode()
        text = (
            f'<img alt="The explorer as it begins." src="data:image/png;base64,{picture}">'
            "<p>This explorer runs in the browser, where the book is read as a site. "
            f"Its chapter: {place(article)}</p>"
        )
        explorer.replace_with(BeautifulSoup(text, "html.parser"))
    page.close()


def cover() -> str:
    """Title, version, date, licence and how to cite, as CITATION.cff has them."""
    known = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    title, subtitle = (html.escape(part) for part in known["title"].split(": "))
    authors = html.escape(", ".join(author["name"] for author in known["authors"]))
    released = known["date-released"]
    (paper,) = known["references"]
    names = " and ".join(f"{a['given-names']} {a['family-names']}" for a in paper["authors"])
    return f"""<div class="cover"><h1>{title}</h1><p>{subtitle}</p><p>{authors}</p>
<p>Version {known["version"]}, {released}. Licence: {known["license"]}.</p>
<p class="cite">To cite it: {authors}, <em>{title}: {subtitle}</em>, version {known["version"]},
{released.year}; and the paper that it is about: {names}, “{paper["title"]}”,
<em>{paper["journal"]}</em> {paper["volume"]}, {paper["start"]}–{paper["end"]}, {paper["year"]},
<a href="https://doi.org/{paper["doi"]}">doi:{paper["doi"]}</a>.</p></div>"""


def combine(articles: list[Article]) -> str:
    """One page with a cover, a table of contents and all articles."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    source = (SITE / f"{articles[0].name}.html").read_text("utf-8")
    wanted = r'<link[^>]*rel="stylesheet"[^>]*>|<script>window.MathJax.*?</script>'
    head = "\n".join(re.findall(rf"{wanted}|<script[^>]*vendor/mathjax[^>]*></script>", source))
    head = head.replace('"../', f'"{SITE.as_uri()}/')
    live = style()  # a page brings it with its figures
    contents = "".join(
        (f"<p>{html.escape(a.part)}</p>" if a.part else "")
        + f'<a href="#{a.name}"><span>{html.escape(a.title)}</span>'
        f'<span data-of="{a.name}"></span></a>'
        for a in articles
    )
    body = "\n".join(str(a.soup) for a in articles)
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">
<title>{html.escape(config["title"])}</title>{head}<style>{live}{STYLE}</style></head>
<body><div class="bd-content"><div class="bd-article-container">
{cover()}
<nav class="contents"><h1>Contents</h1>{contents}</nav>
{body}
</div></div></body></html>"""


def print_pdf(browser: Browser, document: Path, output: Path) -> int:
    """Print the page twice, the second time with page numbers in its table of contents."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.emulate_media(media="print")
    open_page(page, document.as_uri())
    page.evaluate(SHRINK)

    def save() -> PdfReader:
        page.pdf(
            path=output,
            prefer_css_page_size=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            outline=True,
            tagged=True,
        )
        return PdfReader(output)

    first = save()
    numbers = {}
    for name, place in first.named_destinations.items():
        number = first.get_destination_page_number(place)
        if number is not None:
            numbers[name.removeprefix("/")] = number + 1
    page.evaluate(
        "n => document.querySelectorAll('[data-of]')"
        ".forEach(e => { e.textContent = n[e.dataset.of]; })",
        numbers,
    )
    return len(save().pages)


def make(browser: Browser, chosen: list[tuple[str, str | None]], output: Path) -> int:
    """Write a PDF of the pages; returns how many pages it has."""
    articles = [read(name, part) for name, part in chosen]
    for article in articles:
        open_all(article)
        keep_still(article)
        add_pictures(browser, article)
        add_place(article)
    output.parent.mkdir(parents=True, exist_ok=True)
    document = output.with_suffix(".html")
    document.write_text(combine(articles), "utf-8")
    count = print_pdf(browser, document, output)
    document.unlink()
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a PDF of the built book.")
    parser.add_argument("pages", nargs="*", metavar="book/NN_NAME", help="default: all pages")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    executable = find_chromium()
    if executable is None:
        print("a Chromium or Chrome is needed to print the book", file=sys.stderr)
        return 2
    chosen = [page for page in pages() if not options.pages or page[0] in options.pages]
    with launch(executable) as browser:
        count = make(browser, chosen, options.output.resolve())
    print(f"{options.output}: {count} pages, {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
