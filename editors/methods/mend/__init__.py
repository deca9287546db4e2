"""MEND: a trained network turns an editing sample's gradient into a change of weights (Mitchell et al., 2022)."""
