"""What a deployment needs, each need checked in one place: for the start of a worker and for ``framepack doctor``."""
