"""`tenantry completion`: what a shell needs to complete the commands."""

import os
from typing import Annotated, Literal

import typer


def completion(
    ctx: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which shell.")],
) -> None:
    """Print the completion of a shell: eval "$(tenantry completion bash)" in ~/.bashrc."""
    # By name: --show-completion takes the shell that it runs in, and fails where there is none.
    os.environ["_TENANTRY_COMPLETE"] = f"source_{shell}"
    ctx.find_root().command.main([], prog_name="tenantry")
