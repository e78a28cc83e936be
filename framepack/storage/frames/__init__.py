"""Frame folders in the store."""
