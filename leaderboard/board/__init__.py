"""The board as pages that open from disk: records, outcomes and images become a static site."""
