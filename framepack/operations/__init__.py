"""One file per endpoint, or per group of small endpoints on one thing. The folder is the family of the API."""
