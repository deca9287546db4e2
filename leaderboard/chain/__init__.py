"""From nothing to the paper's tables: the steps (`steps.yaml`), their plan, the time they take, and their run."""
