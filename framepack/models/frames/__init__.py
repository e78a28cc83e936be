"""Frames on the device: color conversion, scaling, filters, scene cuts."""
