"""An editor, a base and a benchmark: editing, judging, and the run that results."""
