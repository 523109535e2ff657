"""Python runs this when it starts: each process of a real sweep watches its own operations."""

from tests.faults.operations import watch_from_environment

watch_from_environment()
