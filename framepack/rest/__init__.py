"""The REST server: the documented routes, job status and events, uploads, signed links, health and metrics."""
