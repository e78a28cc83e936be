"""The REST side: the documented routes, jobs that can be followed, and the backends that do the work."""
