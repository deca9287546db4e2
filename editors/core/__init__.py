"""An editor, an edit, and what the methods share."""
