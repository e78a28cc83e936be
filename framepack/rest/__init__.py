"""The REST server: routes of operations, jobs, uploads and files, health, metrics, and the documentation page."""
