"""The counter's pages: what the pharmacy's operator sees. They call the same actions as the API."""
