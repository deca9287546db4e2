"""What an editor is and what an edit is, and what the methods share."""
