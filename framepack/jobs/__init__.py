"""Jobs of the REST server: records in the store, the queue, the runner, and the backends that compute."""
