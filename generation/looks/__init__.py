"""The two looks that need no model: oil paint and stage light."""
