"""Finding failures of a classifier by the maximum discrepancy (MAD) competition."""
