"""The boosting loop: who is wrong, train on them in fresh directions, merge, record, repeat."""
