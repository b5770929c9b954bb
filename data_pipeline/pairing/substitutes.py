"""Small things of modules that a candidate may not import, written out."""

from data_pipeline.pairing.namespace import External

REARRANGE = '''
def {name}(tensor, pattern, **sizes):
    """einops.{name}, for one tensor."""

    def groups(side):
        found, inside = [], False
        for token in side.replace("(", " ( ").replace(")", " ) ").split():
            if token in "()":
                inside = token == "("
                found += [[]] if inside else []
            elif inside:
                found[-1].append(token)
            else:
                found.append([] if token == "1" else [token])
        return found

    left, right = map(groups, pattern.split("->"))
    spare = [f"_{{n}}" for n in range(tensor.dim() - len(left) + 1)]
    left = [g for group in left for g in ([[s] for s in spare] if group == ["..."] else [group])]
    right = [g for group in right for g in ([[s] for s in spare] if group == ["..."] else [group])]
    right = [[n for name in group for n in (spare if name == "..." else [name])] for group in right]
    for group, size in zip(left, tensor.shape):
        unknown = [name for name in group if name not in sizes]
        for name in unknown:
            sizes[name] = size // math.prod(sizes[other] for other in group if other != name)
    order = [name for group in left for name in group]
    tensor = tensor.reshape([sizes[name] for name in order])
    for name in (n for group in right for n in group):
        if name not in order:
            tensor = tensor.unsqueeze(-1).expand(*tensor.shape, sizes[name])
            order.append(name)
    tensor = tensor.permute([order.index(name) for group in right for name in group])
    return tensor.reshape([math.prod(sizes[name] for name in group) for group in right])
'''
SUBSTITUTES = {
    External("einops", "rearrange"): "import math\n\n" + REARRANGE.format(name="rearrange"),
    External("einops", "repeat"): "import math\n\n" + REARRANGE.format(name="repeat"),
    External("operator", "mul"): "def mul(a, b):\n    return a * b",
    External("numbers", "Number"): "Number = (int, float)",
}
