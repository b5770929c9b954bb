"""Inductor's generated module → a plain candidate file: the host code that allocates, launches and returns.

What is understood is a closed list of statements; anything else (a library call, an operator of ATen, a workspace) is
a `NotCleanError`. Sizes are read from the shapes of the inputs, so the candidate serves every size that the compiled
code serves.
"""

import ast
import re
from collections.abc import Sequence

from data_pipeline.inductor.kernel import Argument, Raw, clean_kernel, read_kernel
from data_pipeline.inductor.rewrite import NotCleanError, expression, names_in
from data_pipeline.inductor.sizes import Sizes, Tensor
from sandbox.kernels.signature import path_of

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
    body = "\n".join(f"    {line}" for statement in lines for line in statement.split("\n"))
    entry = f"def {entry_point}({', '.join(parameters)}):\n{body}\n"
    return "\n\n".join([imports, *host.functions.values(), entry]).replace("\n\n\n\n", "\n\n\n")


class _Host:
    """Runs over the statements of `call`, once."""

    def __init__(self, tree: ast.Module, entry_point: str, parameters: Sequence[str], inputs: Sequence[str]) -> None:
        self.inputs, self.entry_point = inputs, entry_point
        self.parameters = list(parameters)
        self.kernels = _kernels(tree)
        self.body = _call_body(tree)
        self.raw: dict[str, Raw] = {}
        self.functions: dict[str, str] = {}
        self.tensors: dict[str, Tensor] = {}
        self.sizes = Sizes({entry_point, *parameters, "torch", "triton", "tl", "libdevice"})
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
        if not results or (returns == "tensor" and len(results) != 1):
            raise NotCleanError(f"outputs: {len(results)}, where the reference returns a {returns}")
        joined = ", ".join(results)
        if returns == "list":
            joined = f"[{joined}]"
        elif returns == "tuple" and len(results) == 1:
            joined += ","
        statements = [*self.statements, f"return {joined}"]
        used = {n for s in statements for n in names_in(ast.parse(s.replace("return ", "_ = ", 1)))}
        return [*self.sizes.prologue(self._inputs(), used), *statements]

    def _inputs(self) -> list[Tensor]:
        """In the order of the parameters."""
        given = (tensor for tensor in self.tensors.values() if not tensor.own)
        return sorted(given, key=lambda tensor: self.parameters.index(re.split(r"\W", tensor.text)[0]))

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
                self.sizes.values[name] = expression(text)
            self.tensors[name] = Tensor(text, [], [], self._type_of(name), own=False)
        for node in (n for statement in self.body for n in ast.walk(statement)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_size_stride":
                self._describe(node)

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
                self.sizes.values[name] = value  # `arg0_1_size = arg0_1.size()`; its elements are read below
                return
        if isinstance(value, ast.Name) and value.id in self.tensors and value.id not in self.sizes.values:
            if re.match(r"[su]\d+$", name):
                self.sizes.sources[name] = self.tensors[value.id].text
            else:
                self.tensors[name] = self.tensors[value.id]  # `buf1 = buf0`: reuse of memory
            return
        if re.match(r"[su]\d+$", name):
            source = ast.unparse(value)
            sized = re.fullmatch(r"(\w+)_size\[(\d+)\]", source)
            if sized and sized[1] in self.tensors:
                self.sizes.sources[name] = f"{self.tensors[sized[1]].text}.shape[{sized[2]}]"
            elif source in self.sizes.values:
                self.sizes.sources[name] = ast.unparse(self.sizes.values[source])
            else:
                self.sizes.values[name] = self.sizes.resolved(value)
            return
        self.sizes.check(value)
        self.sizes.values[name] = self.sizes.resolved(value)

    def _call(self, node: ast.Call) -> None:
        function = ast.unparse(node.func)
        if function in IGNORED or function.endswith(".set_device"):
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
        self.sizes.name_all(self._inputs())
        text = self._new_tensor(name)
        buffer = Tensor(text, shape, strides, dtype, own=True)
        like = next((t for t in self.tensors.values() if not t.own and self.sizes.alike(t, buffer)), None)
        first = next(t.text for t in self.tensors.values() if not t.own and t.strides)
        where = f"dtype={dtype}, device={first}.device"
        if like is not None:
            self.statements.append(f"{text} = torch.empty_like({like.text})")
        elif self.sizes.dense(shape, strides):
            self.statements.append(f"{text} = torch.empty({self.sizes.tuple(shape)}, {where})")
        else:
            layout = f"{self.sizes.tuple(shape)}, {self.sizes.tuple(strides)}"
            self.statements.append(f"{text} = torch.empty_strided({layout}, {where})")
        self.tensors[name] = buffer

    def _new_tensor(self, name: str) -> str:
        last = ast.unparse(self.body[-1])
        wanted = "out" if re.search(rf"\b{name}\b", last) else "mid"
        text, number = wanted, 1
        while text in self.sizes.taken:
            text, number = f"{wanted}{number}", number + 1
        self.sizes.taken.add(text)
        return text

    def _view(self, name: str, node: ast.Call) -> None:
        base = self.tensors.get(ast.unparse(node.args[0]))
        if base is None:
            raise NotCleanError(f"host value: {ast.unparse(node)[:80]}")
        view = Tensor(base.text, _elements(node.args[1]), _elements(node.args[2]), base.dtype, base.own)
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
                self.sizes.check(value)
                text = self.sizes.text(ast.unparse(value))
                arguments[parameter] = Argument(text, text if text.isidentifier() else "")
        made = clean_kernel(raw, kernel, arguments, {self.entry_point, *self.functions})
        launch = made.launch
        for name, text in made.functions.items():
            plain = text.replace(f"def {name}(", "def (")
            earlier = next((n for n, t in self.functions.items() if t.replace(f"def {n}(", "def (") == plain), None)
            if earlier is None:
                self.functions[name] = text
            elif name == made.name:  # the same kernel under another name
                launch = launch.replace(f"{name}[", f"{earlier}[", 1)
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
        if self.sizes.text(tensor.offset) != "0":
            return Argument(f"{tensor.text}.view(-1)[{self.sizes.text(tensor.offset)}:]", name)
        return Argument(tensor.text, name)

    def _result(self, value: ast.expr) -> str:
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "reinterpret_tensor":
            self._view("_returned", value)
            view, base = self.tensors["_returned"], self.tensors[ast.unparse(value.args[0])]
            if view.shape == base.shape and self.sizes.dense(view.shape, view.strides):
                return view.text
            if self.sizes.dense(view.shape, view.strides) and view.offset == "0":
                return f"{view.text}.view({self.sizes.tuple(view.shape)})"
            offset = self.sizes.text(view.offset)
            return f"{view.text}.as_strided({self.sizes.tuple(view.shape)}, {self.sizes.tuple(view.strides)}, {offset})"
        tensor = self.tensors.get(ast.unparse(value))
        if tensor is None or not tensor.own:
            raise NotCleanError(f"outputs: {ast.unparse(value)[:80]}")
        return tensor.text


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
