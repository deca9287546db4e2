"""Fetching what the benchmark is made of: one file a source, and what they share."""
