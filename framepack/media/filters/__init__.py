"""What the filters' controls mean, and the filters for frames on the host."""
