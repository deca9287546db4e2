"""The speed and the memory of mining, measured against plain references."""
