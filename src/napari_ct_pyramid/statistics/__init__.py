"""Statistics of a volume, and of each slice: it streams, and knows no user interface."""
