"""All that is printed or drawn: tables, lists, Markdown, plots."""
