"""The extension table and what the compiler can do; the other metadata is in pyproject.toml."""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("sklearn_convnet/kernels")

# On Windows it is clang-cl: the compiler of Visual Studio has no vectors.
IS_WINDOWS = sysconfig.get_platform().startswith("win")
FOUND = "clang-cl" if IS_WINDOWS else sysconfig.get_config_var("CC")
COMPILER = os.environ.get("CC") or FOUND or "cc"


def spelled(flags):
    """Flags of GCC and clang, as the compiler takes them: clang-cl has them behind a prefix."""
    return [f"/clang:{flag}" for flag in flags] if IS_WINDOWS else flags


# GCC looks for memory to free when it holds so many kilobytes. With less it looks again and again,
# for nothing: all of a module takes 470 MB, and 330 MB with GCC's own bound, in a sixth more time.
NO_COLLECTION = "--param=ggc-min-heapsize=524288"
COMMON = spelled(
    ["-O3", "-g0", "-fno-strict-aliasing", "-fno-math-errno", "-fno-trapping-math", NO_COLLECTION],
)

# The kernels, which are translated to C once. Each extension module compiles that C with its flags
# and macros.
SOURCE = KERNELS / "_kernels.pyx"
# What Cython adds to each module that takes arrays, such as its class of typed views, is in this
# one: with it, each of the others took a fifth longer to compile.
SHARED = "sklearn_convnet.kernels._cyutility"

PREFETCHW = "-mprfchw"  # of a line that will be written to

# Of each variant: the flags to try in order, the width of a register in bytes, and whether
# there are 32 of them. GCC before 11 and clang before 12 do not know the x86-64-v* levels.
AVX2 = ["-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mf16c", "-mmovbe"]
AVX512 = [f"-mavx512{part}" for part in ("f", "bw", "cd", "dq", "vl")]
PREFER_512 = "-mprefer-vector-width=512"
VARIANTS = {
    "baseline": ([[]], 16, platform.machine().lower() in ("aarch64", "arm64")),
    "avx2": ([["-march=x86-64-v3", PREFETCHW], [*AVX2, PREFETCHW]], 32, False),
    "avx512": (
        [["-march=x86-64-v4", PREFETCHW, PREFER_512], [*AVX2, *AVX512, PREFETCHW, PREFER_512]],
        64,
        True,
    ),
}
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "nonecheck": False,
    "cdivision": True,
    "freethreading_compatible": True,
}


def compiles(flags, source="int main(void) { return 0; }"):
    """Whether the compiler accepts the flags and links the program."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "probe.c")
        program.write_text(source)
        compiler = [COMPILER] if IS_WINDOWS else COMPILER.split()
        command = [*compiler, *flags, str(program), "-o", str(Path(folder, "probe"))]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:  # there is no such program
            return False


def openmp_flags():
    """Flags to compile and to link with OpenMP; none where the compiler has none."""
    source = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }"
    if IS_WINDOWS and compiles(["/openmp"], source):  # clang-cl links it, Visual Studio's does not
        library = Path(shutil.which(COMPILER)).parents[1] / "lib"
        return ["/openmp"], [f"/LIBPATH:{library}", "libomp.lib"]
    candidates = [] if IS_WINDOWS else [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":
        candidates.append((["-Xpreprocessor", "-fopenmp"], ["-lomp"]))
    for compile_args, link_args in candidates:
        if compiles([*compile_args, *link_args], source):
            return compile_args, link_args
    print("No OpenMP: the kernels are built to run on one thread.", file=sys.stderr)
    return [], []


def contract_flags():
    """What fuses multiplications and additions. With "fast", clang decides anew for the body of a
    loop and for what is left of it, which may round differently; with "on", once for both. GCC
    fuses with "fast" alone. GCC 16 leaves some sums of x86-64-v3 unfused, as a chain of fused ones
    is slow on some processors, and not in each tile the same: the parameter has it fuse all."""
    is_clang = compiles([], "#ifndef __clang__\n#error\n#endif\nint main(void) { return 0; }")
    of_gcc = ["-ffp-contract=fast", "--param=avoid-fma-max-bits=0"]
    return ["-ffp-contract=on"] if is_clang else of_gcc


def extensions():
    if not compiles([]):
        sys.exit(
            f"error: sklearn_convnet needs a C compiler, and {COMPILER!r} is none that works: "
            "install one, such as gcc or clang (on Windows LLVM, which has clang-cl), or name it "
            "in the environment variable CC"
        )
    openmp, link = openmp_flags()
    common = [flag for flag in [*COMMON, *spelled(contract_flags())] if compiles([flag])]
    yield Extension(
        "sklearn_convnet.kernels._cpu",
        [str(KERNELS / "_cpu.pyx")],
        extra_compile_args=openmp,
        extra_link_args=link,
    )
    yield Extension(SHARED, [str(KERNELS / "_cyutility.c")], extra_compile_args=common)
    for variant, (candidates, simd_bytes, wide) in VARIANTS.items():
        flags = next((flags for flags in map(spelled, candidates) if compiles(flags)), None)
        if flags is None:
            print(f"The compiler cannot build the {variant} kernels.", file=sys.stderr)
            continue
        for dtype in ("float32", "float64"):
            macros = [("SIMD_BYTES", str(simd_bytes))]
            macros += [("WIDE_REGISTERS", "1")] if wide else []
            macros += [("SINGLE", "1")] if dtype == "float32" else []
            yield Extension(
                f"sklearn_convnet.kernels._{variant}_{dtype}",
                [str(SOURCE)],
                depends=[str(path) for path in (SOURCE, *sorted(KERNELS.glob("src/**/*.pxi")))],
                define_macros=macros,
                extra_compile_args=[*common, *openmp, *flags],
                extra_link_args=link,
            )


def named_source(extension):
    """The C source of an extension: a file of its own, so that objects have names of their own."""
    name = extension.name.rpartition(".")[2]
    path = KERNELS / f"{name}.c"
    if extension.sources == [str(SOURCE)]:
        text = (
            f"#define PyInit_{SOURCE.stem} PyInit_{name}\n"
            f'#include "{SOURCE.with_suffix(".c").name}"\n'
        )
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    return str(path)


def set_wrappers_aside(path):
    """Of each kernel Cython makes two functions: one that takes the arguments from Python, and one
    that is the body. The former are compiled for size, as they run once in a call and would be
    half of the code; the latter stay apart from them, since they hold loops."""
    text = path.read_text()
    marked = text
    for function, attribute in (("__pyx_pw_", "cold"), ("__pyx_pf_", "noinline")):
        marked = marked.replace(
            f"static PyObject *{function}",
            f"static __attribute__(({attribute})) PyObject *{function}",
        )
    if marked != text:
        path.write_text(marked)


def call_clang_cl(compiler):
    """Has setuptools call clang-cl where it would call the compiler of Visual Studio."""
    if not compiler.initialized:
        compiler.initialize()
    compiler.cc = COMPILER
    compiler.compile_options.remove("/GL")  # objects that only Visual Studio's linker reads


class ParallelBuild(build_ext):
    """Translates the sources, and compiles the extensions side by side."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1

    def run(self):
        sources = {source for extension in self.extensions for source in extension.sources}
        cythonize(
            [Extension(SHARED if path.endswith(".c") else "*", [path]) for path in sorted(sources)],
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
        )
        set_wrappers_aside(SOURCE.with_suffix(".c"))
        for extension in self.extensions:
            extension.sources = [named_source(extension)]
        super().run()

    def build_extensions(self):
        if IS_WINDOWS:
            call_clang_cl(self.compiler)
        super().build_extensions()


def description():
    """README.md as it is shown elsewhere: without pictures and links that lead into the repository,
    whose text stays."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n\n", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    ext_modules=list(extensions()),
    cmdclass={"build_ext": ParallelBuild},
    long_description=description(),
    long_description_content_type="text/markdown",
)
