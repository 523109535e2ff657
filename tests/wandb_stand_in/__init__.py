"""The parts of `tests.wandb_server`: what it holds, and its answers to the client's GraphQL operations."""
