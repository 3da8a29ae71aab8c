"""A table as a page and as text."""

from forward_stability.book.table import Table


def test_the_page_shows_each_cell_and_escapes_it():
    table = Table("T", ("a", "b"), {"S": [("1 < 2", "first\nsecond & last")]}, "from `a < b`")
    page = table._repr_html_()
    for part in (
        "<caption>T</caption>",
        '<th scope="col">a</th>',
        '<th scope="rowgroup" colspan="2">S</th>',
        "<td>1 &lt; 2</td>",
        "<td>first<br><small>second &amp; last</small></td>",
        '<p class="note">from <code>a &lt; b</code></p>',
    ):
        assert part in page
    assert repr(table) == "T\na | b\nS\n1 < 2 | first; second & last\nfrom `a < b`"
