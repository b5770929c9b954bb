"""Triton's private interfaces: what its frontend takes for something else than Python does, and says nothing about.

Where a name of the kernel's own is not known any more, Triton goes on to the module's and to builtins. What was None or
a dtype before a condition on tensors stays so, whatever one branch assigns. And two functions are one to it whose
constants differ in brackets and quotes. Here each is refused, while kernels are lowered.
"""

from typing import Any

import triton.compiler.code_generator as frontend
from triton.language.core import base_value
from triton.language.core import tuple as Tuple


class _Lost:
    """Stands for a variable that Python and Triton know by different values."""


def mend_frontend() -> None:
    """For good, in this process."""
    if frontend.CodeGenerator.visit_then_else_blocks.__module__ == __name__:
        return
    _mend_names()
    _mend_branches()
    _mend_tuples()
    _mend_mangling()


def _mend_names() -> None:
    lookup_of = frontend.CodeGenerator._define_name_lookup

    def _define_name_lookup(self: Any) -> Any:
        """Raises, once it is called:
        NameError: the kernel assigns this, but not where it is known.
        """
        find, code = lookup_of(self), self.jit_fn.fn.__code__
        own = {*code.co_varnames, *code.co_cellvars}

        def lookup(name: str) -> Any:
            if name in own and name not in self.lscope:
                raise NameError(f"{name} is assigned in a loop or a branch, and not known here; assign it before")
            if isinstance(self.lscope.get(name), _Lost):
                raise NameError(
                    f"{name} was None or a dtype, and is assigned in one branch of a condition on tensors, or in a "
                    "loop: Triton forgets that; make it a tensor before"
                )
            return find(name)

        return lookup

    frontend.CodeGenerator._define_name_lookup = _define_name_lookup


def _mend_branches() -> None:
    """Each region that is left says which names are lost by what it assigned; so are they in the region around it."""
    branches, carries = frontend.CodeGenerator.visit_then_else_blocks, frontend.CodeGenerator._find_carries

    def lose(self: Any, names: set[str], liveins: dict[str, Any], before: set[str]) -> None:
        lost = {name for name in names if name in liveins and not isinstance(liveins[name], base_value)}
        liveins.update({name: _Lost() for name in lost})
        self.lost = before | lost

    def visit_then_else_blocks(self: Any, node: Any, liveins: dict[str, Any], *blocks: Any) -> Any:
        before = _taken(self)
        found = branches(self, node, liveins, *blocks)
        then_defs, else_defs, *_, names = found
        for name, value in liveins.items():
            for made in (defs[name] for defs in (then_defs, else_defs) if name in defs):
                _check_alike(name, value, made)
        lose(self, (self.lost | then_defs.keys() | else_defs.keys()) - set(names), liveins, before)
        return found

    def _find_carries(self: Any, node: Any, liveins: dict[str, Any], *rest: Any, **named: Any) -> Any:
        before = _taken(self)
        found = carries(self, node, liveins, *rest, **named)
        lose(self, self.lost, liveins, before)
        self.lscope.update({name: value for name, value in liveins.items() if isinstance(value, _Lost)})
        return found

    frontend.CodeGenerator.visit_then_else_blocks = visit_then_else_blocks
    frontend.CodeGenerator._find_carries = _find_carries


def _mend_tuples() -> None:
    """Triton sees no difference between tuples that hold the same values, one of them in a tuple of its own or beside
    constants, and leaves out what one result of a function has more than the other.
    """
    verify = frontend.CodeGenerator._verify_loop_carried_variable
    decide = getattr(frontend.CodeGenerator, "decide_return_type", None)  # Triton 3.6 compares them

    def _verify_loop_carried_variable(self: Any, name: str, made: Any, value: Any) -> None:
        verify(self, name, made, value)
        _check_alike(name, value, made)

    def decide_return_type(self: Any) -> Any:
        assert decide is not None
        found = decide(self)
        for value in self.return_vals:
            if _lengths(value) != _lengths(self.return_vals[0]):
                raise TypeError("a function returns tuples of different lengths")
        return found

    frontend.CodeGenerator._verify_loop_carried_variable = _verify_loop_carried_variable
    if decide is not None:
        frontend.CodeGenerator.decide_return_type = decide_return_type


def _check_alike(name: str, value: Any, made: Any) -> None:
    """Raises:
    TypeError: a tuple becomes one of another form.
    """
    if isinstance(value, Tuple) and (not isinstance(made, Tuple) or made.type.mangle() != value.type.mangle()):
        raise TypeError(f"the tuple {name} changes its form or types in a loop or a branch; give the new one a name")


def _lengths(value: Any) -> Any:
    return [_lengths(item) for item in value.values] if isinstance(value, Tuple) else None


def _taken(generator: Any) -> set[str]:
    """Names lost so far, to begin anew."""
    before: set[str] = getattr(generator, "lost", set())
    generator.lost = set()
    return before


def _mend_mangling() -> None:
    mangle = frontend.mangle_fn
    known: dict[str, str] = {}

    def mangle_fn(name: str, *described: Any) -> Any:
        """Raises:
        ValueError: another call, with other arguments, has this name.
        """
        made = mangle(name, *described)
        said = repr([_described(part) for part in described[:-1]])
        if known.setdefault(made, said) != said:
            raise ValueError(f"two calls of {name} differ in nothing that Triton sees; rename fields or text")
        return made

    frontend.mangle_fn = mangle_fn


def _described(kind: Any) -> Any:
    """Types of arguments, or constants by their place, so that what differs is told apart."""
    if isinstance(kind, list | tuple):
        return [_described(item) for item in kind]
    if isinstance(kind, dict):
        return [(place, _described(value)) for place, value in kind.items()]
    if hasattr(kind, "types"):  # of a tuple
        return (_described(kind.types), getattr(kind, "fields", None))
    if hasattr(kind, "block_type"):  # of a descriptor: its text is where it lies in memory
        return (type(kind).__name__, _described(vars(kind)))
    value = getattr(kind, "value", kind)
    return (type(value).__name__, repr(value))
