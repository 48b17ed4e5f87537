"""Statistics of small paired samples: arrays in, numbers out; nothing here knows what a study is."""
