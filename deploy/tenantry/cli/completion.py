"""`tenantry completion`: what a shell needs to complete the commands."""

from typing import Annotated, Literal

import typer


def completion(
    ctx: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which shell.")],
) -> None:
    """Print the completion of a shell: eval "$(tenantry completion bash)" in ~/.bashrc."""
    ctx.find_root().command.main(["--show-completion", shell], prog_name="tenantry")
