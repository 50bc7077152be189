"""Tells what a command would leave if it were killed before one of its file operations, and runs it again there.

A shim in C stands between a command and the C library (`LD_PRELOAD`), so that the writes of TensorFlow and Arrow count
as well as those of Python. It stops the process before each operation that changes files below a folder; what lies
there at that moment is what a kill would leave, because nothing of a killed process runs. `killed_stage` copies it, and
runs the same command line in each copy that differs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from started import started

EVERY: Final = os.environ.get("FULLRANK_KILLS") == "all"
"""With the environment variable FULLRANK_KILLS=all every state is tried, otherwise a seeded few (`make kills`)."""

SHIM: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int armed;
static int record;
static int stops;
static int one_step;
static char root[PATH_MAX];
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

void arm(const char *folder, int log, int stop, int without_exchange) {
  strncpy(root, folder, PATH_MAX - 1);
  record = log; stops = stop; one_step = !without_exchange; armed = 1;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void step(const char *what, const char *path) {
  char line[2 * PATH_MAX + 64];
  if (strstr(path, "__autograph_generated_file")) return;
  int length = snprintf(line, sizeof line, "%s %s\n", what, path + strlen(root) + 1);
  pthread_mutex_lock(&one_at_a_time);
  syscall(SYS_write, record, line, length);
  if (stops) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP);
  pthread_mutex_unlock(&one_at_a_time);
}
static int below(const char *path) { return !strncmp(path, root, strlen(root)) && path[strlen(root)] == '/'; }
static void of_path(const char *what, int folder, const char *path) {
  char full[2 * PATH_MAX], base[PATH_MAX], link[64];
  if (!armed || !path) return;
  if (path[0] == '/') { if (below(path)) step(what, path); return; }
  snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  ssize_t n = readlink(link, base, sizeof base - 1);
  if (n < 0) return;
  base[n] = 0;
  snprintf(full, sizeof full, "%s/%s", base, path);
  if (below(full)) step(what, full);
}
static void of_file(const char *what, int file) {
  char path[PATH_MAX], link[64];
  if (!armed || file < 3) return;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return;
  path[n] = 0;
  if (below(path)) step(what, path);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))
#define OPEN(name) int name(const char *p, int flags, ...) { \
  va_list a; va_start(a, flags); mode_t m = (flags & O_CREAT) ? va_arg(a, mode_t) : 0; va_end(a); \
  REAL(name); if (WRITES(flags)) of_path("open", AT_FDCWD, p); return real(p, flags, m); }
#define OPENAT(name) int name(int d, const char *p, int flags, ...) { \
  va_list a; va_start(a, flags); mode_t m = (flags & O_CREAT) ? va_arg(a, mode_t) : 0; va_end(a); \
  REAL(name); if (WRITES(flags)) of_path("open", d, p); return real(d, p, flags, m); }
#define FOPEN(name) FILE *name(const char *p, const char *m) { \
  REAL(name); if (strpbrk(m, "wa+")) of_path("open", AT_FDCWD, p); return real(p, m); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64) FOPEN(fopen) FOPEN(fopen64)

#define FILE_CALL(type, name, what, file, parameters, ...) type name parameters { \
  REAL(name); of_file(what, file); return real(__VA_ARGS__); }
FILE_CALL(ssize_t, write, "write", f, (int f, const void *b, size_t n), f, b, n)
FILE_CALL(ssize_t, pwrite64, "write", f, (int f, const void *b, size_t n, off64_t o), f, b, n, o)
FILE_CALL(ssize_t, writev, "write", f, (int f, const struct iovec *v, int n), f, v, n)
FILE_CALL(int, ftruncate64, "truncate", f, (int f, off64_t n), f, n)
FILE_CALL(size_t, fwrite, "write", fileno(f), (const void *b, size_t s, size_t n, FILE *f), b, s, n, f)
FILE_CALL(int, fflush, "flush", f ? fileno(f) : 0, (FILE *f), f)
FILE_CALL(int, fclose, "close", fileno(f), (FILE *f), f)

#define PATH_CALL(type, name, what, folder, path, parameters, ...) type name parameters { \
  REAL(name); of_path(what, folder, path); return real(__VA_ARGS__); }
PATH_CALL(int, rename, "rename", AT_FDCWD, a, (const char *a, const char *b), a, b)
PATH_CALL(int, renameat, "rename", d, a, (int d, const char *a, int e, const char *b), d, a, e, b)
int renameat2(int d, const char *a, int e, const char *b, unsigned f) {
  REAL(renameat2);
  if (armed && !one_step) { errno = ENOSYS; return -1; }
  of_path("exchange", d, a);
  return real(d, a, e, b, f);
}
PATH_CALL(int, mkdir, "mkdir", AT_FDCWD, p, (const char *p, mode_t m), p, m)
PATH_CALL(int, mkdirat, "mkdir", d, p, (int d, const char *p, mode_t m), d, p, m)
PATH_CALL(int, unlink, "unlink", AT_FDCWD, p, (const char *p), p)
PATH_CALL(int, unlinkat, "unlink", d, p, (int d, const char *p, int f), d, p, f)
PATH_CALL(int, rmdir, "rmdir", AT_FDCWD, p, (const char *p), p)
"""


def build_shim(folder: Path) -> Path:
    """Compiles the shim into a folder; skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the shim with")
    library = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-x", "c", "-", "-o", str(library), "-ldl", "-pthread"]
    built = subprocess.run(command, input=SHIM, text=True, capture_output=True, check=False)
    assert built.returncode == 0, built.stderr
    return library


def kills(
    shim: Path,
    work: Path,
    *arguments: str,
    module: str,
    imports: Sequence[str] = (),
    sample: int | None = None,
    without_exchange: bool = False,
) -> Iterator[dict[str, Any]]:
    """Runs a command uninterrupted, and then again on what kills would leave, each time in a copy of `work`.

    Args:
      shim: Shim of `build_shim`.
      work: The folder to begin with; the command runs in the folder `killed` beside it.
      *arguments: Of the command.
      module: Its module.
      imports: Modules that it would import later.
      sample: How many states; every one if not given or if `EVERY`.
      without_exchange: Whether names cannot be exchanged in one step.

    Yields:
      First, of the uninterrupted run: what lay in the folder `before` and `after`, and the numbers of its `operations`
      and of the `states` between them. Then, of each state: the operation that the process was `killed_at`, what it
      `left`, how the command went `again`, and what lay there `after`.
    """
    task = {
        **{"module": module, "arguments": arguments, "imports": imports, "sample": None if EVERY else sample},
        **{"work": str(work.with_name("killed")), "begin": str(work), "without_exchange": without_exchange},
    }
    environment = {**os.environ, "LD_PRELOAD": str(shim), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__).with_name("killed_stage.py"))]
    tried = 0
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        whole = json.loads(process.stdout.readline() or "{}")
        assert whole, "the uninterrupted run failed"
        yield whole
        print("", file=process.stdin, flush=True)
        for line in process.stdout:
            yield json.loads(line)
            tried += 1
            print("", file=process.stdin, flush=True)
    assert process.returncode == 0
    print(f"{module}: {whole['operations']} operations, {whole['states']} states, {tried} tried")
    assert tried == whole["states"] or (not EVERY and tried >= min(sample or 0, 2))


def below(files: Mapping[str, str], name: str) -> dict[str, str]:
    """The part of `contents` below a folder."""
    return {path: digest for path, digest in files.items() if path.startswith(f"{name}/")}


def check(line: Mapping[str, Any], *, said: str | None = None) -> None:
    """The command ran well again, or said that all is there; nothing that was begun is left."""
    finished = said is not None and said in line["again"]["said"]
    assert line["again"]["code"] == 0 or finished, (line["killed_at"], line["again"]["said"])
    assert "writing-" not in " ".join(line["after"]), line["killed_at"]
