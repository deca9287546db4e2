"""The speed of scoring, measured against a plain reference."""
