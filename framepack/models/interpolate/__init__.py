"""Frame interpolation with RIFE."""
