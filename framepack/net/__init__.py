"""All outbound HTTP: which addresses may be reached, downloads, delivery."""
