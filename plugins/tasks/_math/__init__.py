"""What tasks of mathematics have in common: sums to enumerate, and answers that math-verify compares in workers."""
