"""The matrix of a run: as an HTML page, as Markdown, and as text.

The page is one HTML file that contains the whole run and loads nothing else.  `pack` packs a run, `page` embeds it; the
scripts unpack it and draw the rows that match the filter.  `summary` computes what the page, `markdown` and `table`
share; `views` writes one of them.

    matrix.html.j2   the page, readable without scripts, with its parts:
                     summary, filter, table, causes
    base.css         styles of all pages                 matrix.css  styles of this page
    data.js          the packed run as objects           query.js    the filter's language
    tree.js          the rows                            grid.js     the table: only visible rows are drawn
    panel.js         the panel for one cell or trial     main.js     state, address and events
"""
