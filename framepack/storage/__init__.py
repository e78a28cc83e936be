"""Storage of outputs and state: one protocol with two implementations, a folder and an S3 bucket."""
