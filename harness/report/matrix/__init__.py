"""The matrix as a page: one HTML file with all of a run in it, and nothing fetched from anywhere.

`pack` makes a run small, `matrix` puts it into the page; the scripts unpack it and draw what is asked for.  `summary`
is what is said of a whole run, here and in the twins, `markdown` and `terminal`; `views` shows one of them.

    matrix.html.j2   the page, with what it shows where no script runs
    base.css         the look that all pages of this project have;  matrix.css  what this one needs beside it
    data.js          the packed run, as objects          query.js   the filter's language
    tree.js          which rows there are                grid.js    the table, as much of it as is in sight
    panel.js         one cell, opened                    main.js    puts them together
"""
