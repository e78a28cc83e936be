"""The outbox: callbacks in the store until they are delivered, and what delivers them."""
