"""Inductor's generated module → a plain candidate file: the host code that allocates, launches and returns.

What is understood is a closed list of statements; anything else (a library call, an operator of ATen, a workspace) is
a `NotCleanError`. Sizes are read from the shapes of the inputs, so the candidate serves every size that the compiled
code serves.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from math import prod

from data_pipeline.sources.inductor_kernel import Argument, Raw, clean_kernel, read_kernel
from data_pipeline.sources.inductor_rewrite import NotCleanError, Substitute, expression, names_in
from sandbox.kernel_signature import path_of

PROBES = (7, 11, 13)
"""Size expressions are compared by their values, with other primes for every symbol."""
PRIMES = (101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197)
AXES = {1: ("n",), 2: ("m", "n"), 3: ("b", "m", "n"), 4: ("b", "c", "h", "w")}
TORCH_TYPES = {
    "torch.float32": "*fp32", "torch.float16": "*fp16", "torch.bfloat16": "*bf16", "torch.int64": "*i64",
    "torch.int32": "*i32", "torch.bool": "*i1", "torch.int8": "*i8", "torch.uint8": "*u8", "torch.float64": "*fp64",
}  # fmt: skip
IGNORED = ("args.clear", "assert_size_stride", "assert_alignment", "torch.cuda.set_device")


def clean(code: str, entry_point: str, parameters: Sequence[str], inputs: Sequence[str], returns: str) -> str:
    """The candidate file.

    Args:
        code: what Inductor generated.
        entry_point: the function to define.
        parameters: its parameters.
        inputs: for each argument of the generated `call`, how the compiler names its source: `L['x'].size()[0]`.
        returns: `tensor`, or `tuple` or `list` of tensors.

    Raises:
        NotCleanError: the code needs more than kernels, or is not understood.
    """
    host = _Host(ast.parse(code), entry_point, parameters, inputs)
    host.run()
    lines = host.lines(returns)
    libdevice = any("libdevice." in text for text in host.functions.values())
    imports = "import torch\nimport triton\nimport triton.language as tl\n"
    imports += "from triton.language.extra import libdevice\n" * libdevice
    body = "\n".join(f"    {line}" for line in lines)
    entry = f"def {entry_point}({', '.join(parameters)}):\n{body}\n"
    return "\n\n".join([imports, *host.functions.values(), entry]).replace("\n\n\n\n", "\n\n\n")


class _Buffer:
    """A tensor of the host code."""

    def __init__(self, text: str, shape: list[str], strides: list[str], dtype: str, own: bool) -> None:
        self.text, self.shape, self.strides, self.dtype, self.own = text, shape, strides, dtype, own
        self.offset = "0"


class _Host:
    """Runs over the statements of `call`, once."""

    def __init__(self, tree: ast.Module, entry_point: str, parameters: Sequence[str], inputs: Sequence[str]) -> None:
        self.inputs, self.entry_point = inputs, entry_point
        self.parameters = list(parameters)
        self.kernels = _kernels(tree)
        self.body = _call_body(tree)
        self.raw: dict[str, Raw] = {}
        self.functions: dict[str, str] = {}
        self.symbols: dict[str, ast.expr] = {}
        self.tensors: dict[str, _Buffer] = {}
        self.sizes: dict[str, str] = {}
        """Symbol → where it is read from, `x.shape[0]`."""
        self.names: dict[str, str] = {}
        """Symbol → name in the candidate."""
        self.taken = {entry_point, *parameters, "torch", "triton", "tl", "libdevice"}
        self.statements: list[str] = []
        self.returned: list[ast.expr] = []

    def run(self) -> None:
        for node in (n for statement in self.body for n in ast.walk(statement)):
            path = path_of(node)
            if path[:1] == ["extern_kernels"] and len(path) > 1:
                raise NotCleanError(f"extern_kernels: {path[1]}")
            if path[:2] == ["torch", "ops"] and len(path) > 3:
                raise NotCleanError(f"operator of ATen: {'.'.join(path[2:])}")
            if path[1:] == ["run"] and path[0] in self.kernels:
                self.raw[path[0]] = read_kernel(self.kernels[path[0]])
        for statement in self.body:
            self._statement(statement)

    def lines(self, returns: str) -> list[str]:
        """The body of the entry point."""
        results = [self._result(value) for value in self.returned]
        if returns == "tensor" and len(results) != 1 or not results:
            raise NotCleanError(f"outputs: {len(results)}, where the reference returns a {returns}")
        joined = ", ".join(results)
        last = f"return [{joined}]" if returns == "list" else f"return {joined}{',' * (returns == 'tuple' and len(results) == 1)}"
        statements = [*self.statements, last]
        used = {n for s in statements for n in names_in(ast.parse(s.replace("return ", "_ = ", 1)))}
        prologue = []
        for tensor in sorted((t for t in self.tensors.values() if not t.own), key=lambda t: self._position(t.text)):
            mine = [s for s in tensor.shape if self.sizes.get(s, "").startswith(f"{tensor.text}.shape[")]
            mine = [s for s in mine if self.names[s] in used]
            if not mine:
                continue
            if len(mine) > 1 and mine == tensor.shape:
                prologue.append(f"{', '.join(self.names[s] for s in mine)} = {tensor.text}.shape")
            else:
                prologue += [f"{self.names[s]} = {self.sizes[s]}" for s in mine]
        return [*prologue, *statements]

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.With():
                for inner in node.body:
                    self._statement(inner)
            case ast.Delete() | ast.Pass():
                pass
            case ast.Return(value=ast.Tuple(elts=values)):
                self.returned = list(values)
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Name(id="args")):
                self._arguments([ast.unparse(n) for n in names])
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assign(name, value)
            case _:
                raise NotCleanError(f"host statement: {ast.unparse(node)[:80]}")

    def _arguments(self, names: list[str]) -> None:
        if len(names) != len(self.inputs):
            raise NotCleanError(f"inputs: the code takes {len(names)}, the compiler named {len(self.inputs)}")
        for name, source in zip(names, self.inputs, strict=True):
            text = _plain_source(source, self.parameters)
            if text.endswith("]") and (".shape[" in text or ".stride(" in text):
                self.symbols[name] = expression(text)
            self.tensors[name] = _Buffer(text, [], [], self._type_of(name), own=False)

    def _type_of(self, name: str) -> str:
        """How the first kernel that takes a tensor types it."""
        for node in (n for statement in self.body for n in ast.walk(statement)):
            if isinstance(node, ast.Call) and path_of(node.func)[1:] == ["run"]:
                raw = self.raw[path_of(node.func)[0]]
                for parameter, value in zip(raw.parameters, node.args, strict=False):
                    if ast.unparse(value) == name:
                        return raw.types[parameter]
        return ""

    def _assign(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Call):
            function = ast.unparse(value.func)
            if function.startswith("empty_strided_"):
                shape, strides, dtype = value.args[:3]
                self._allocate(name, _elements(shape), _elements(strides), ast.unparse(dtype))
                return
            if function == "reinterpret_tensor":
                self._view(name, value)
                return
            if function.startswith("get_raw_stream"):
                return
            if function.endswith(".size") and not value.args:
                self.symbols[name] = value  # `arg0_1_size = arg0_1.size()`; its elements are read below
                return
        if isinstance(value, ast.Name) and value.id in self.tensors and value.id not in self.symbols:
            if re.match(r"[su]\d+$", name):
                self.sizes[name] = self.tensors[value.id].text
            else:
                self.tensors[name] = self.tensors[value.id]  # `buf1 = buf0`: reuse of memory
            return
        if re.match(r"[su]\d+$", name):
            source = ast.unparse(value)
            sized = re.fullmatch(r"(\w+)_size\[(\d+)\]", source)
            if sized and sized[1] in self.tensors:
                self.sizes[name] = f"{self.tensors[sized[1]].text}.shape[{sized[2]}]"
            elif source in self.symbols:
                self.sizes[name] = ast.unparse(self.symbols[source])
            else:
                self.symbols[name] = self._resolved(value)
            return
        self._check_size(value)
        self.symbols[name] = self._resolved(value)

    def _name_sizes(self) -> None:
        """Each symbol is read from the first parameter that has it for a dimension, and named after the axis."""
        order = sorted((t for t in self.tensors.values() if not t.own), key=lambda t: self._position(t.text))
        for tensor in order:
            axes = AXES.get(len(tensor.shape), ())
            for axis, symbol in enumerate(tensor.shape):
                if symbol in self.sizes and symbol not in self.names:
                    self.sizes[symbol] = f"{tensor.text}.shape[{axis}]"
                    self.names[symbol] = self._new(axes[axis] if axes else "n")
        for symbol, source in self.sizes.items():
            if symbol not in self.names:
                self.names[symbol] = source if source.isidentifier() else self._new("k")

    def _position(self, text: str) -> int:
        return self.parameters.index(re.split(r"\W", text)[0])

    def _new(self, wanted: str) -> str:
        for name in (wanted, *(c for c in "mnkpqhwcdfg" if c != wanted), *(f"size{i}" for i in range(99))):
            if name not in self.taken:
                self.taken.add(name)
                return name
        raise NotCleanError("sizes: too many")

    def _check_size(self, value: ast.expr) -> None:
        for node in ast.walk(value):
            if isinstance(node, ast.Call) and ast.unparse(node.func) not in ("max", "min"):
                raise NotCleanError(f"host call: {ast.unparse(node)[:80]}")
        unknown = set(names_in(value)) - {"max", "min", *self.sizes, *self.symbols}
        if unknown:
            raise NotCleanError(f"host value: {ast.unparse(value)[:80]}")

    def _resolved(self, value: ast.expr) -> ast.expr:
        holder = ast.Expr(expression(ast.unparse(value)))
        Substitute(dict(self.symbols)).visit(holder)
        return holder.value

    def _call(self, node: ast.Call) -> None:
        function = ast.unparse(node.func)
        if function == "assert_size_stride":
            self._describe(node)
        elif function in IGNORED or function.endswith(".set_device"):
            pass
        elif path_of(node.func)[-1:] == ["run"] and path_of(node.func)[0] in self.kernels:
            self._launch(path_of(node.func)[0], node.args)
        else:
            raise NotCleanError(f"host call: {ast.unparse(node)[:80]}")

    def _describe(self, node: ast.Call) -> None:
        name = ast.unparse(node.args[0])
        if name in self.tensors:
            tensor = self.tensors[name]
            tensor.shape, tensor.strides = _elements(node.args[1]), _elements(node.args[2])

    def _allocate(self, name: str, shape: list[str], strides: list[str], dtype: str) -> None:
        self._name_sizes()
        text = self._new_tensor(name)
        buffer = _Buffer(text, shape, strides, dtype, own=True)
        like = next((t for t in self.tensors.values() if not t.own and self._alike(t, buffer)), None)
        first = next(t.text for t in self.tensors.values() if not t.own and t.strides)
        where = f"dtype={dtype}, device={first}.device"
        if like is not None:
            self.statements.append(f"{text} = torch.empty_like({like.text})")
        elif self._contiguous(shape, strides):
            self.statements.append(f"{text} = torch.empty({self._tuple(shape)}, {where})")
        else:
            self.statements.append(f"{text} = torch.empty_strided({self._tuple(shape)}, {self._tuple(strides)}, {where})")
        self.tensors[name] = buffer

    def _new_tensor(self, name: str) -> str:
        last = ast.unparse(self.body[-1])
        wanted = "out" if re.search(rf"\b{name}\b", last) else "mid"
        text, number = wanted, 1
        while text in self.taken:
            text, number = f"{wanted}{number}", number + 1
        self.taken.add(text)
        return text

    def _view(self, name: str, node: ast.Call) -> None:
        base = self.tensors.get(ast.unparse(node.args[0]))
        if base is None:
            raise NotCleanError(f"host value: {ast.unparse(node)[:80]}")
        view = _Buffer(base.text, _elements(node.args[1]), _elements(node.args[2]), base.dtype, base.own)
        view.offset = ast.unparse(node.args[3])
        self.tensors[name] = view

    def _launch(self, kernel: str, args: list[ast.expr]) -> None:
        raw = self.raw[kernel]
        if len(raw.parameters) != len(args):
            raise NotCleanError(f"launch: {kernel} takes {len(raw.parameters)} arguments, not {len(args)}")
        arguments: dict[str, Argument] = {}
        for parameter, value in zip(raw.parameters, args, strict=True):
            if raw.types[parameter].startswith("*"):
                arguments[parameter] = self._pointer(value, raw.types[parameter])
            else:
                self._check_size(value)
                text = self._text(ast.unparse(value))
                arguments[parameter] = Argument(text, text if text.isidentifier() else "")
        made = clean_kernel(raw, kernel, arguments, {self.entry_point, *self.functions})
        same = [name for name, text in self.functions.items() if text.replace(f"def {name}(", "") == made.functions[made.name].replace(f"def {made.name}(", "")]
        launch = made.launch
        for name, text in made.functions.items():
            if name == made.name and same:
                launch = launch.replace(f"{made.name}[", f"{same[0]}[", 1)
            elif self.functions.setdefault(name, text) != text:
                raise NotCleanError(f"launch: two functions are called {name}")
        self.statements.append(launch)

    def _pointer(self, value: ast.expr, kind: str) -> Argument:
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "reinterpret_tensor":
            self._view("_passed", value)
            value = ast.Name("_passed", ast.Load())
        tensor = self.tensors.get(ast.unparse(value))
        if tensor is None:
            raise NotCleanError(f"host value: {ast.unparse(value)[:80]}")
        tensor.dtype = tensor.dtype or kind
        name = re.sub(r"\W+", "_", tensor.text.removeprefix("self.")).strip("_")
        if self._text(tensor.offset) != "0":
            return Argument(f"{tensor.text}.view(-1)[{self._text(tensor.offset)}:]", name)
        return Argument(tensor.text, name)

    def _result(self, value: ast.expr) -> str:
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "reinterpret_tensor":
            self._view("_returned", value)
            view, base = self.tensors["_returned"], self.tensors[ast.unparse(value.args[0])]
            if view.shape == base.shape and self._contiguous(view.shape, view.strides):
                return view.text
            if self._contiguous(view.shape, view.strides) and view.offset == "0":
                return f"{view.text}.view({self._tuple(view.shape)})"
            offset = self._text(view.offset)
            return f"{view.text}.as_strided({self._tuple(view.shape)}, {self._tuple(view.strides)}, {offset})"
        tensor = self.tensors.get(ast.unparse(value))
        if tensor is None or not tensor.own:
            raise NotCleanError(f"outputs: {ast.unparse(value)[:80]}")
        return tensor.text

    def _text(self, text: str) -> str:
        """A size expression in the candidate's words."""
        holder = ast.Expr(self._resolved(expression(text)))
        Substitute({s: ast.Name(n, ast.Load()) for s, n in self.names.items()}).visit(holder)
        return ast.unparse(_tidy(holder.value, list(self.names.values())))

    def _tuple(self, texts: list[str]) -> str:
        parts = [self._text(text) for text in texts]
        return f"({', '.join(parts)}{',' * (len(parts) == 1)})"

    def _value(self, text: str, probe: int) -> int:
        node = self._resolved(expression(text))
        symbols = sorted({*names_in(node)} - {"max", "min"})
        values = {s: PRIMES[(i * 5 + probe) % len(PRIMES)] for i, s in enumerate(sorted({*self.sizes, *symbols}))}
        return _evaluate(node, values)

    def _contiguous(self, shape: list[str], strides: list[str]) -> bool:
        for probe in PROBES:
            sizes, steps = [self._value(s, probe) for s in shape], [self._value(s, probe) for s in strides]
            dense = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
            if any(step != want for size, step, want in zip(sizes, steps, dense, strict=True) if size != 1):
                return False
        return True

    def _alike(self, tensor: _Buffer, buffer: _Buffer) -> bool:
        if len(tensor.shape) != len(buffer.shape) or tensor.dtype not in (buffer.dtype, TORCH_TYPES.get(buffer.dtype)):
            return False
        same = all(
            self._value(a, probe) == self._value(b, probe)
            for probe in PROBES
            for a, b in zip([*tensor.shape, *tensor.strides], [*buffer.shape, *buffer.strides], strict=True)
        )
        return same and bool(tensor.shape) and self._contiguous(buffer.shape, buffer.strides)


def _kernels(tree: ast.Module) -> dict[str, str]:
    """Name → source of the kernels that the module compiles."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function = ast.unparse(node.value.func)
            if function == "async_compile.triton" and isinstance(source := node.value.args[1], ast.Constant):
                found[ast.unparse(node.targets[0])] = str(source.value)
            elif function.startswith("async_compile."):
                raise NotCleanError(f"kernel kind: {function}")
    return found


def _call_body(tree: ast.Module) -> list[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "call":
            return node.body
    raise NotCleanError("host code: has no call()")


def _elements(node: ast.expr) -> list[str]:
    return [ast.unparse(e) for e in node.elts] if isinstance(node, ast.Tuple) else [ast.unparse(node)]


def _plain_source(source: str, parameters: Sequence[str]) -> str:
    """`L['x'].size()[0]` → `x.shape[0]`."""
    text = re.sub(r"^L\['(\w+)'\]", r"\1", source)
    text = re.sub(r"\.size\(\)\[(\d+)\]", r".shape[\1]", text)
    text = re.sub(r"\.stride\(\)\[(\d+)\]", r".stride(\1)", text)
    text = re.sub(r"\._(?:modules|parameters|buffers)\['(\w+)'\]", r".\1", text)
    head = re.match(r"\w+", text)
    if head is None or head[0] not in parameters or "(" in text.replace(".stride(", ""):
        raise NotCleanError(f"inputs: {source}")
    return text


def _evaluate(node: ast.expr, values: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, values), _evaluate(right, values)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.FloorDiv():
                    return a // b
                case ast.Mod():
                    return a % b
                case ast.Pow():
                    return int(a**b)
        case ast.Call(func=ast.Name(id="max" | "min" as name), args=args):
            found = [_evaluate(arg, values) for arg in args]
            return max(found) if name == "max" else min(found)
    raise NotCleanError(f"size: {ast.unparse(node)[:80]}")


def _tidy(node: ast.expr, order: list[str]) -> ast.expr:
    """`n * m` → `m * n`: a product's factors in the order of the shapes."""
    factors = _factors(node)
    if len(factors) < 2 or not all(isinstance(f, ast.Name | ast.Constant) for f in factors):
        return node
    rank = {name: i for i, name in enumerate(order)}
    factors.sort(key=lambda f: rank.get(f.id, 99) if isinstance(f, ast.Name) else -1)
    return expression(" * ".join(ast.unparse(f) for f in factors))


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]
