"""The claims of the paper's prose (`claims.yaml`), each with its rule, and the verdicts of our records on them."""
