"""`python -m data_pipeline [experiment=NAME] [key=value …]`: make the data of a run in `<out>/data`; with `stats`,
`show ID` or `export FOLDER`: look at it (`data_pipeline.look`).
"""

import asyncio
import sys

import hydra
from omegaconf import DictConfig

from configs.errors import explained
from configs.main import start
from configs.schema import Config


@hydra.main(version_base=None, config_path="pkg://configs", config_name="config")
def main(cfg: DictConfig) -> None:
    """Validate, then build with a progress bar and print the summary."""
    with explained():
        asyncio.run(_run(start(cfg, "data")))


async def _run(config: Config) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Task as Bar
    from rich.text import Text

    from data_pipeline.build import build
    from sandbox.local import LocalSandbox

    class Rate(ProgressColumn):
        """Proposals decided per second; rich's own column shows it only where there is no total."""

        def render(self, task: Bar) -> Text:
            return TaskProgressColumn.render_speed(task.finished_speed or task.speed)

    columns = (TextColumn("proposals decided"), BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None)

        def watch(decided: int, known: int) -> None:
            progress.update(bar, completed=decided, total=known)

        async with LocalSandbox.from_config(config.sandbox) as sandbox:
            summary = await build(config, sandbox, watch)
    print(summary.model_dump_json(indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("stats", "show", "export", "report"):
        from data_pipeline import look

        with explained():
            sys.exit(look.main(sys.argv[1:]))
    main()
