"""Commands that are killed before each of their file operations, and then run again.

A shim in C stands between a command and the C library (`LD_PRELOAD`), so that the writes of TensorFlow and Arrow count
as well as those of Python. It counts the operations that change files below a folder, and kills the process before the
k-th. `killed_stage` imports a command once and forks a process for each k. After the kill the same command line must
give what an uninterrupted run gives, and leave nothing beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from fullrank.data import convert, infer

EVERY: Final = os.environ.get("FULLRANK_KILLS") == "all"
"""The environment variable FULLRANK_KILLS=all kills at every operation; without it, at one of each kind or fewer."""
KINDS: Final = None if EVERY else 1_000
SAMPLE: Final = None if EVERY else 3

SHIM: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long last;
static long count;
static int record;
static int one_step;
static char root[PATH_MAX];

void arm(long k, const char *folder, int log, int without_exchange) {
  strncpy(root, folder, PATH_MAX - 1);
  count = 0; record = log; one_step = !without_exchange; last = k;
}

static void step(const char *what, const char *path) {
  char line[2 * PATH_MAX + 64];
  if (strstr(path, "__autograph_generated_file")) return;
  int length = snprintf(line, sizeof line, "%s %s\n", what, path + strlen(root) + 1);
  syscall(SYS_write, record, line, length);
  if (__sync_add_and_fetch(&count, 1) != last) return;
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}
static int below(const char *path) { return !strncmp(path, root, strlen(root)) && path[strlen(root)] == '/'; }
static void of_path(const char *what, int folder, const char *path) {
  char full[2 * PATH_MAX], base[PATH_MAX], link[64];
  if (!last || !path) return;
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
  if (!last || file < 3) return;
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
  if (last && !one_step) { errno = ENOSYS; return -1; }
  of_path("exchange", d, a);
  return real(d, a, e, b, f);
}
PATH_CALL(int, mkdir, "mkdir", AT_FDCWD, p, (const char *p, mode_t m), p, m)
PATH_CALL(int, mkdirat, "mkdir", d, p, (int d, const char *p, mode_t m), d, p, m)
PATH_CALL(int, unlink, "unlink", AT_FDCWD, p, (const char *p), p)
PATH_CALL(int, unlinkat, "unlink", d, p, (int d, const char *p, int f), d, p, f)
PATH_CALL(int, rmdir, "rmdir", AT_FDCWD, p, (const char *p), p)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the shim with")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-x", "c", "-", "-o", str(library), "-ldl"]
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
    """Runs a command uninterrupted and with kills, each time in a copy of `work`; the first line is uninterrupted."""
    task = {
        **{"module": module, "arguments": arguments, "imports": imports, "sample": sample},
        **{"work": str(work.with_name("killed")), "begin": str(work), "without_exchange": without_exchange},
    }
    environment = {**os.environ, "LD_PRELOAD": str(shim), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__).with_name("killed_stage.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            yield json.loads(line)
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0


def below(files: Mapping[str, str], name: str) -> dict[str, str]:
    """The part of `contents` below a folder."""
    return {path: digest for path, digest in files.items() if path.startswith(f"{name}/")}


def check(line: Mapping[str, Any], whole: Mapping[str, Any], *, said: str | None = None) -> None:
    """The command was killed, and running it again ends as the uninterrupted run, or says that all is there."""
    where = line["killed"]["operations"][-1]
    assert line["killed"]["code"] == -signal.SIGKILL, line["killed"]["said"]
    finished = said is not None and said in line["again"]["said"]
    assert line["again"]["code"] == 0 or finished, (where, line["again"]["said"])
    assert set(line["after"]) == set(whole["after"]), where
    assert "writing-" not in " ".join(line["after"]), where


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def write_log(file: Path, *, rows: int) -> None:
    draw = np.random.default_rng(rows)
    lines = (f"{draw.integers(50)},{draw.integers(99)},{draw.random():.3f},{draw.integers(2)}" for _ in range(rows))
    file.write_text("\n".join(["user_id,item_id,price,click", *lines]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("without_exchange", [False, True])
def test_convert_over_a_data_set(
    shim: Path, work: Path, without_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old data set or the new one stands under the name, at every moment where names can be exchanged."""
    monkeypatch.chdir(work)
    options = ("--input=log.csv", "--schema=schema.json", "--output=records", "--workers=1", "--noprogress")
    write_log(Path("log.csv"), rows=100)
    infer.run(["infer", "--input=log.csv", "--label=click", "--output=schema.json"])
    convert.run(["convert", *options])
    write_log(Path("log.csv"), rows=200)
    lines = kills(
        shim,
        work,
        *options,
        "--overwrite",
        module="fullrank.data.convert",
        sample=KINDS,
        without_exchange=without_exchange,
    )
    whole = next(lines)
    states = [below(whole[when], "records") for when in ("before", "after")]
    assert states[0] != states[1]
    points, absent = [], 0
    for line in lines:
        check(line, whole)
        assert line["after"] == whole["after"]
        standing = below(line["between"], "records")
        assert standing in states or (without_exchange and not standing), line["killed"]["operations"][-1]
        absent += not standing
        points.append(line["point"])
    assert len(points) == len(whole["operations"]) or (not EVERY and len(points) > 20)
    assert absent == int(without_exchange)


@pytest.mark.slow
def test_prepare(shim: Path, work: Path) -> None:
    options = ("--dataset=synthetic", "--rows=100", "--users=20", "--ads=40", "--workers=1", "--noprogress")
    lines = kills(shim, work, *options, "--output=records", module="fullrank.data.prepare", sample=SAMPLE)
    whole = next(lines)
    for line in lines:
        check(line, whole, said="exists already")
        assert line["after"] == whole["after"]
        assert below(line["between"], "records") in ({}, below(whole["after"], "records"))
