"""Right numbers on a CPU: an option of XLA, set when aerec is imported, before a backend is opened.

With its default options the CPU backend of XLA returns wrong numbers (seen in JAX 0.10.2 and 0.12).
Where a reduction follows a matrix product, its YNNPACK fusions read memory that nobody wrote:

    jit(lambda E, c: sum((E @ full_like(E, c)) * E, -1))     E [16, 32, 32]: off by up to 1e32
    jit(vmap(lambda r: sum((M @ r) ** 2)))                   M [3, 3], 40,000 rows: thousands wrong

(the second in 0.10.2 only). `--xla_cpu_experimental_ynn_fusion_type=`, with an empty value, leaves
no operation to these fusions, and both are right. XLA reads its options from the environment
variable XLA_FLAGS once, when the first backend is opened; importing JAX opens none. So it is enough
to import aerec before the first array, the first `jax.devices()` and the like. Nothing else in
aerec has an effect on import.

- Every program of the process is covered, the user's own `jit` and eager operations too: the same
  backend compiles them. An eager operation is a program of its own; none of thirteen that were
  tried was wrong alone. The bodies of eager `lax.map`, `lax.scan` and `lax.cond` are compiled as a
  whole, and went wrong as the lines above did; with the option they are right.
- If a backend is open already, the option has no effect in this process: a `RuntimeWarning` says so
  where that backend is a CPU. No more can be done from here; `compiler_options` of `jax.jit` are
  for outermost programs only.
- A GPU or a TPU computes without these fusions; the option is for what runs on the host's CPU. The
  CUDA plugin and libtpu, which parse XLA_FLAGS themselves, know it.
- Child processes inherit the environment. Programs that other processes compile, from an exported
  model for example, need the option there.
- If XLA_FLAGS names the option, with whatever value, it stays as it is. A jaxlib that does not know
  the option is not given it, because an unknown option aborts the process.
- XLA_FLAGS may name a file of options. Its text then replaces its name in the environment.
"""

import importlib.util
import mmap
import os
import pathlib
import sys
import warnings

OPTION = "xla_cpu_experimental_ynn_fusion_type"


def leave_out_fusions() -> None:
    """Add the option to XLA_FLAGS, unless it is given or unknown; warn where that is too late."""
    given = options()
    if given is None or OPTION in given or not known():
        return
    os.environ["XLA_FLAGS"] = f"--{OPTION}= {given}".rstrip()
    if computes_on_cpu():
        warnings.warn(
            "JAX computed before aerec was imported, and XLA's CPU backend returns wrong numbers "
            "with the options it started with: import aerec before computing with JAX, or start "
            f"the process with XLA_FLAGS=--{OPTION}=",
            RuntimeWarning,
            stacklevel=4,  # the line that imports aerec
        )


def options() -> str | None:
    """What XLA will read from XLA_FLAGS, or from the file it names; None if that is unreadable."""
    given = os.environ.get("XLA_FLAGS", "")
    if not given or given.lstrip().startswith("-"):
        return given
    try:
        return os.fsdecode(pathlib.Path(given).read_bytes())
    except OSError:
        return None  # XLA says so, and ends the process


def known() -> bool:
    """Whether the installed jaxlib has the option: whether its library contains the name."""
    jaxlib = importlib.util.find_spec("jaxlib")
    for folder in (jaxlib and jaxlib.submodule_search_locations) or []:
        for library in pathlib.Path(folder).glob("*jax_common.*"):
            with (
                library.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                if content.find(OPTION.encode()) >= 0:
                    return True
    return False


def computes_on_cpu() -> bool:
    """Whether a backend is open already, and it is a CPU's. Asking opens none."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    started = getattr(bridge, "backends_are_initialized", None)  # private: it may go
    return started is not None and started() and sys.modules["jax"].default_backend() == "cpu"


leave_out_fusions()
