"""The golden run: what the project computed before its inside was redrawn, and must compute ever after."""
