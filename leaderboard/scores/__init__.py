"""From outcomes to scores and curves: pure functions."""
