"""Carries records and checkpoints to central; resumes after either side dies."""
