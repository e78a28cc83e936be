"""Where outputs and state live: one protocol, two backends."""
