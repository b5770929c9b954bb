"""Registers, spills, shared memory and instruction mix of a compiled kernel, read from what the compiler left behind.

NVIDIA: instructions are counted in SASS (`nvdisasm` of the cubin, not PTX); registers and spills are those that
`ptxas -v` reports. AMD: everything is in the amdgcn text, which is machine code with metadata. Counts are static: an
instruction in a loop counts once. Classes are by what an instruction is for:

- `tensor`: matrix units
- `fp`: floating-point arithmetic, comparison and conversion
- `integer`: integer and bit arithmetic, predicates and selects
- `memory_global`: device memory, including copies from there to shared memory
- `memory_shared`: on-chip memory (shared memory, LDS, Blackwell's tensor memory)
- `control`: branches, barriers, fences, waits
- `other`: moves, shuffles, constants, kernel arguments, special registers and thread-private memory (spills have their
  own number)
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from sandbox.triton_private.compile import Compiled, disassemble
from sandbox.types import KernelStats, Target

InstructionClass = Literal["tensor", "fp", "integer", "memory_global", "memory_shared", "control", "other"]
CLASSES: tuple[InstructionClass, ...] = get_args(InstructionClass)

SASS_CLASSES: dict[InstructionClass, str] = {
    "tensor": "HMMA IMMA BMMA DMMA QMMA OMMA HGMMA IGMMA QGMMA BGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA UTCMXQMMA",
    "fp": "FADD FADD2 FADD32I FMUL FMUL2 FMUL32I FFMA FFMA2 FFMA32I FMNMX FMNMX3 FSEL FSET FSETP FCHK FSWZADD "
    "FRND MUFU HADD2 HADD2_32I HMUL2 HMUL2_32I HFMA2 HFMA2_32I HMNMX2 HSET2 HSETP2 DADD DMUL DFMA DMNMX "
    "DSETP F2F F2FP F2I F2IP I2F I2FP I2IP UF2F UF2FP UF2I UI2F UI2FP UFADD UFFMA UFMUL UFMNMX UFSEL "
    "UFSET UFSETP UFRND UMUFU",
    "integer": "IADD IADD3 IADD32I IMAD IMAD32I IMUL IMNMX VIADD VIADDMNMX VIMNMX VIMNMX3 VIADD2 VABSDIFF VABSDIFF4 "
    "IABS IDP IDP4A LEA LOP LOP3 LOP32I PLOP3 SHF SHL SHR ISETP ISCADD ISCADD32I ICMP FLO POPC BREV BMSK "
    "SGXT XMAD SEL UIADD3 UVIADD UVIMNMX UVIADDMNMX UIMAD UIMNMX UIABS ULEA ULOP ULOP3 ULOP32I UPLOP3 "
    "USHF USHL USHR UISETP UFLO UPOPC UBREV UBMSK USGXT USEL",
    "memory_global": "LDG STG LD ST LDGSTS ATOM ATOMG RED REDG UBLKCP UBLKPF UBLKRED UTMALDG UTMASTG UTMAREDG UTMAPF",
    "memory_shared": "LDS LDSM STS STSM ATOMS LDT STT LDTM STTM UTCCP UTCSHIFT STAS REDAS LDSLK STSCUL",
    "control": "CCTL CCTLL CCTLT UTMACCTL BRA BRX BRXU JMP JMX JMXU EXIT RET CALL BSSY BSYNC BREAK BMOV BAR BPT KILL "
    "NANOSLEEP YIELD WARPSYNC WARPGROUP WARPGROUPSET DEPBAR LDGDEPBAR ARRIVES MEMBAR ERRBAR FENCE SYNCS "
    "ELECT CGAERRBAR UCGABAR_ARV UCGABAR_WAIT UTCBAR UTCATOMSWS UTMACMDFLUSH ACQBULK ACQSHMINIT PREEXIT "
    "ENDCOLLECTIVE RTT UVIRTCOUNT USETMAXREG RPCMOV",
    "other": "IMAD.MOV",
}
"""Opcodes by class, with a modifier where that decides; opcodes that are not here are `other`."""
SASS_PADDING = "NOP"
"""Fills the code up to its alignment: not counted."""

AMDGCN_CLASSES: tuple[tuple[str, InstructionClass], ...] = (
    (r"v_(s?mfmac?|wmma|swmmac)_", "tensor"),
    (r"(global|buffer|flat)_(wb|inv|gl)", "control"),
    (r"(global|buffer|flat|tbuffer)_", "memory_global"),
    (r"ds_(b?permute|swizzle)", "other"),
    (r"ds_(nop|gws_)", "control"),
    (r"ds_", "memory_shared"),
    (
        r"s_(c?branch|barrier|wait|endpgm|nop|sleep|setprio|sethalt|trap|setpc|swappc|call|icache|dcache|code_end)",
        "control",
    ),
    (r"v_(mov|movrel|accvgpr|readlane|readfirstlane|writelane|permlane|perm_|swap|nop)", "other"),
    (r"s_(mov|movk|cmov|cmovk|load|buffer_load|store|getreg|setreg|getpc|memtime|memrealtime|prefetch)", "other"),
    (r"v_\w*?_(pk_)?(b?f(16|32|64|8|6|4)|fp8|bf8|legacy_f32)", "fp"),
    (r"[vs]_", "integer"),
)
"""The first pattern that matches the start of a mnemonic decides."""

_SASS_LINE = re.compile(
    r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[T0-9]\s+)?([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)?)", re.MULTILINE
)
_AMDGCN_LINE = re.compile(r"^\s+((?:v|s|ds|global|buffer|tbuffer|flat|scratch)_[a-z0-9_]+)", re.MULTILINE)


def kernel_stats(compiled: Compiled, target: Target, scratch: Path) -> KernelStats:
    """Static resource use of `compiled`. Disassembling an NVIDIA binary takes longer than making it.

    `scratch` is an existing writable folder. Raises `ValueError` when the compiler's report is not as expected.
    """
    if compiled.target != target:
        raise ValueError(f"{compiled.kernel} was compiled for {compiled.target}, not for {target}")
    if target.startswith("sm_"):
        registers, spills = ptxas_usage(compiled.log)
        instructions, shared_bytes = sass_mix(disassemble(compiled.binary, scratch)), compiled.shared_bytes
    else:
        registers = amdgcn_number(compiled.assembly, "vgpr_count")
        spills = amdgcn_number(compiled.assembly, "vgpr_spill_count")
        instructions = amdgcn_mix(compiled.assembly)
        shared_bytes = max(compiled.shared_bytes, amdgcn_number(compiled.assembly, "group_segment_fixed_size"))
    return KernelStats(
        kernel=compiled.kernel,
        target=target,
        registers=registers,
        spills=spills,
        shared_bytes=shared_bytes,
        instructions=instructions,
    )


def ptxas_usage(log: str) -> tuple[int, int]:
    """Registers a thread and spilled bytes a thread (bytes of spill stores, called functions included)."""
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log)]
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill stores", log)]
    if not registers or not spills:
        raise ValueError(f"`ptxas -v` reported no registers or no spills; it said: {log[:200]!r}")
    return max(registers), sum(spills)


def amdgcn_number(assembly: str, key: str) -> int:
    """The number `.key: N` of the kernel's metadata at the end of the assembly."""
    found = re.search(rf"^[\s-]*\.{key}:\s*(\d+)", assembly, re.MULTILINE)
    if found is None:
        raise ValueError(f"the amdgcn metadata has no .{key}")
    return int(found[1])


def sass_mix(sass: str) -> dict[str, int]:
    """Instruction counts by class of `nvdisasm -c` output, all classes present."""
    opcodes = (opcode for opcode in _SASS_LINE.findall(sass) if opcode != SASS_PADDING)
    return _mix(_sass_class(opcode) for opcode in opcodes)


def amdgcn_mix(assembly: str) -> dict[str, int]:
    """Instruction counts by class of amdgcn assembly, all classes present."""
    return _mix(_amdgcn_class(mnemonic) for mnemonic in _AMDGCN_LINE.findall(assembly))


_SASS_CLASS: dict[str, InstructionClass] = {
    opcode: name for name, opcodes in SASS_CLASSES.items() for opcode in opcodes.split()
}


def _sass_class(opcode: str) -> InstructionClass:
    exact = _SASS_CLASS.get(opcode)
    return exact if exact is not None else _SASS_CLASS.get(opcode.split(".")[0], "other")


def _amdgcn_class(mnemonic: str) -> InstructionClass:
    return next((name for pattern, name in AMDGCN_CLASSES if re.match(pattern, mnemonic)), "other")


def _mix(classes: Iterable[InstructionClass]) -> dict[str, int]:
    counts = Counter(classes)
    return {name: counts[name] for name in CLASSES}
