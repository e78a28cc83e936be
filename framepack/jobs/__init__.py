"""The durable job queue of the REST server: records in the store, the queue, the runner and the backends.

See ``docs/jobs.md``. Other packages use `framepack.jobs.queue.JobQueue`, records, and backends only.
"""
