"""How good an edit is: outcomes, metrics, records, tables."""
