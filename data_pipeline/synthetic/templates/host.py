"""Lines of the host function that templates share: sizes read from shapes, and allocation of the output."""

from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Input, Program
from data_pipeline.synthetic.style import Style

DTYPE = {
    "float32": "torch.float32",
    "float16": "torch.float16",
    "bfloat16": "torch.bfloat16",
    "bool": "torch.bool",
    "int8": "torch.int8",
}


def sizes(program: Program, pose: Pose, *wanted: str) -> list[str]:
    """`m, n = x.shape` for the dimensions `wanted`, from the first inputs that have them."""
    lines: list[str] = []
    known: set[str] = set()
    for item in program.inputs:
        missing = [dim for dim in item.shape if dim in wanted and dim not in known]
        if not missing:
            continue
        name = pose.name_on_host(item.name)
        if set(item.shape) <= set(wanted) and not set(item.shape) & known and len(set(item.shape)) == len(item.shape):
            comma = "," if len(item.shape) == 1 else ""
            lines.append(f"{', '.join(item.shape)}{comma} = {name}.shape")
        else:
            places = [f"{name}.shape[{item.shape.index(dim)}]" for dim in missing]
            lines.append(f"{', '.join(missing)} = {', '.join(places)}")
        known |= set(missing)
    return lines


def like(program: Program) -> Input:
    """The input whose dtype the output has."""
    return next((item for item in program.inputs if item.floating), program.inputs[0])


def allocation(program: Program, style: Style, pose: Pose) -> str:
    """The line that makes the output."""
    item = like(program)
    name, shape = pose.name_on_host(item.name), ", ".join(program.result)
    if program.result_dtype:
        dtype = DTYPE[program.result_dtype]
        if item.shape == program.result and not item.view:
            return f"{style.result} = torch.empty_like({name}, dtype={dtype})"
        where = f"({shape})" if len(program.result) != 1 else shape
        return f"{style.result} = torch.empty({where}, dtype={dtype}, device={name}.device)"
    if item.shape == program.result and not item.view:
        return f"{style.result} = torch.empty_like({name})"
    if style.strides:
        tail = "," if len(program.result) == 1 else ""
        return f"{style.result} = torch.empty(({shape}{tail}), dtype={name}.dtype, device={name}.device)"
    return f"{style.result} = {name}.new_empty({shape})"
