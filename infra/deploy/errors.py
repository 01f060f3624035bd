"""What can go wrong, named by what it leaves behind.

DeployError
├── CannotStart      nothing was changed, nothing was tried: mend it and run again
├── CloudError       AWS refused or did not answer
└── Failed           the new version is not to be: what was changed is taken back
    └── Interrupted  someone asked to stop
"""

from __future__ import annotations


class DeployError(Exception):
    """The base of all of them; the text is for the person who deploys."""


class CannotStart(DeployError):
    """What is needed before anything is changed is not there."""


class CloudError(DeployError):
    """A call to AWS failed: which one, and what AWS says."""


class Failed(DeployError):
    """A step of the deployment failed; `details` are lines to read, of a log or of events."""

    def __init__(self, problem: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.details = details


class Interrupted(Failed):
    """A signal asked this process to stop."""
