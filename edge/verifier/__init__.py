"""The process that looks at faces. Embeddings and pictures never leave it."""
