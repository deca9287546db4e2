"""The result of a run: record, outcomes, environment."""
