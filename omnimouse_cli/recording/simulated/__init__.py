"""A mouse with a known answer: recordings with their expected responses beside them."""
