"""The review service: takes in what nodes send, checks it, and answers questions about it."""
