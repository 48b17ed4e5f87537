"""The boosting loop: select the examples that are wrong, train a small update in unused directions, merge, record, repeat."""
