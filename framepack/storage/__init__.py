"""Storage of outputs and state: one protocol with two backends, a folder and an S3 bucket."""
