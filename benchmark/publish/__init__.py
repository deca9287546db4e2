"""The data card, croissant.json, and what may be passed on."""
