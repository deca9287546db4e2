"""From predictions to ranked failures: distances, competition, tables, report."""
