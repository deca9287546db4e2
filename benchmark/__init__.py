"""What is edited, and what it is judged on: base models, groups of failures, locality images."""
