"""The OpenAPI document, generated from the declarations of operations and routes, and from the models of both."""
