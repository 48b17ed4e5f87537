"""What tasks of texts have in common: rows, templates, splits, and answers in what was written."""
