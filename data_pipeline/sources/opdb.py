"""torch's operator database (`torch.testing`, OpInfo) as tasks without solutions: hundreds of operators, the shapes and
options on which torch itself tests them. How samples become tasks: `data_pipeline.opdb`.
"""

from collections.abc import Iterator

from data_pipeline.task import Task


def opdb() -> Iterator[tuple[Task, str]]:
    """Every task that the database of the installed torch gives, in its order."""
    import torch  # with the database several seconds, which only this source needs

    from data_pipeline.opdb.tasks import tasks

    torch.set_num_threads(1)  # tiny tensors by the thousand
    for task in tasks():
        yield task, ""
