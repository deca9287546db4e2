"""Editing methods, one room each. An editor turns one failure into an `Edit`; nothing here scores."""
