"""Making the embedded data set and its base models."""
