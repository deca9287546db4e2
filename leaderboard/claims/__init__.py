"""The claims of the paper's prose, and the verdict of our records on each: `claims.yaml` lists them with their rules."""
