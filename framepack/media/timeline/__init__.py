"""Timelines: constant frame rates, retiming, loops, concatenation, cached frames."""
