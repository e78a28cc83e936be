"""Timelines: constant frame rates, retiming, loops, concatenation, spooled frames."""
