"""How an operation processes a clip: its declaration, context, effects, limits, and the way to the published file."""
