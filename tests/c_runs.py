"""Networks in C, compiled and run: several in one program, so that no names may collide."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import shlex
import subprocess
import sysconfig

COMPILER = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]


def compiled(sources, program, *options, optimize="-O1"):
    """The path of a program made of sources."""
    command = [*COMPILER[:1], *FLAGS, optimize, *options, *map(str, sources), "-o", str(program)]
    found = subprocess.run([*command, "-lm"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[:5000]
    return program


def run(program):
    """The exit status and what was printed."""
    found = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    return found.returncode, found.stdout


def run_tests(folder, names):
    """Runs the test programs of these networks as one, in one unit; what each has printed."""
    lines = ["#include <stdio.h>", "int main(void);"]
    for name in names:
        lines += [f"#define main {name}_main", f'#include "{name}.c"', f'#include "{name}_test.c"']
        lines += ["#undef main"]
    calls = [f"    n_wrong += {name}_main();" for name in names]
    lines += ["int main(void)", "{", "    int n_wrong = 0;", *calls, "    return n_wrong;", "}"]
    (folder / "all.c").write_text("\n".join(lines) + "\n")
    status, printed = run(compiled([folder / "all.c"], folder / "all"))
    assert status == 0, "".join(
        line for line in printed.splitlines(True) if " 3 of 3 samples" not in line
    )
    assert len(printed.splitlines()) == len(names)
    return printed
