"""The speed of generation, measured against a plain reference."""
