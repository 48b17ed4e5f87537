"""Parts of the `table` task: columns, their encoding, and targets."""
