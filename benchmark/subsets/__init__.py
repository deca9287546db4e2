"""One file a subset of the full benchmark, and what they share."""
