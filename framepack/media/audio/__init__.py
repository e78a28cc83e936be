"""Audio: reading, rendering, and the track of an output."""
