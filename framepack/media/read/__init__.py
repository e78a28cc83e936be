"""Reading video files: packets, probing, decoding, normalizing."""
