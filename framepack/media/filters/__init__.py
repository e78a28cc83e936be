"""What the filters' controls mean, and the filters for pictures on the host."""
