"""The operations: one file per endpoint, or per group of small ones. Each folder is a family of the API."""
