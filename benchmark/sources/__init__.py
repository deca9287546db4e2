"""Where the images come from, one file an origin."""
