"""How the embedded data set and its base models are made."""
