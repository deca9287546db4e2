"""Makes the committed records again; see `tests.records.__main__`."""
