"""Which job does which kind of command: one line each."""

from __future__ import annotations

from edge.commands.challenge import ChallengeJob
from edge.commands.footage import FootageJob
from edge.commands.jobs import Job, JobTools
from edge.commands.standing import StandingJob
from retention.terms.commands import AnyCommand, ChallengeCommand, FootageCommand


def job_of(tools: JobTools, command: AnyCommand) -> Job:
    """Return the job of a command; nothing is done yet."""
    match command:
        case FootageCommand():
            return FootageJob(tools, command)
        case ChallengeCommand():
            return ChallengeJob(tools, command)
        case _:
            return StandingJob(tools, command)
