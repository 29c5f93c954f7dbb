#!/usr/bin/env python3
"""Breaks one law in the code at a time and sees whether the test that guards it fails. README.md says more."""
import argparse
import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GUARANTEES = ROOT / "docs" / "guarantees.md"
# Their rows are laws, each of which needs a planted break; the tables after them only name tests.
TABLES_OF_LAWS = ("The promise, part by part", "The laws, and the test that fails when one is broken")
TEST_NAME = re.compile(r"`([A-Z]\w*\.[A-Z]\w*)`")
SCRIPT_NAME = re.compile(r"`(\w+\.py)`")
TEST_SECONDS = 120  # who takes longer hangs, and so fails; scripts have a limit of CTest's
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Break:
    area: str
    law: str
    file: str
    old: str
    new: str
    target: str
    tests: tuple

    def applies(self):
        path = ROOT / self.file
        return path.is_file() and path.read_text().count(self.old) == 1

    def __str__(self):
        return f"{self.area}: {self.law}"


def load():
    breaks = []
    for path in sorted(HERE.glob("*.toml")):
        area = tomllib.loads(path.read_text())
        for entry in area["break"]:
            target = entry.pop("target", area.get("target"))
            breaks.append(Break(area=path.stem, target=target, tests=tuple(entry.pop("tests")), **entry))
    return breaks


# --- What can be seen without building


def tests_there_are():
    names = set()
    for path in ROOT.rglob("*_test.cc"):
        for suite, name in re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", path.read_text(), re.MULTILINE):
            names.add(f"{suite}.{name}")
    return names | {path.name for path in (ROOT / "tests" / "end_to_end").glob("*.py")}


def rows_of(tables):
    """The first cell of each row, and the names of tests in its last one; `tables` are (heading, text)."""
    for heading, text in tables:
        rows = [line for line in text.splitlines() if line.startswith("|")]
        for row in rows[2:]:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            yield heading, cells[0], TEST_NAME.findall(cells[-1]), SCRIPT_NAME.findall(cells[-1])


def check(breaks):
    """What is wrong with the breaks and with the tables of docs/guarantees.md."""
    problems = []
    known = tests_there_are()
    for each in breaks:
        if not each.applies():
            problems.append(f"{each}: its old text does not stand exactly once in {each.file}")
        problems += [f"{each}: there is no test {test}" for test in each.tests if test not in known]
    guarded = {test for each in breaks for test in each.tests}
    tables = re.findall(r"^## (.+)\n((?:.*\n)*?)(?=^## |\Z)", GUARANTEES.read_text(), re.MULTILINE)
    for heading, law, tests, scripts in rows_of(tables):
        problems += [f"docs/guarantees.md: {law}: there is no {name}" for name in tests + scripts if name not in known]
        if heading in TABLES_OF_LAWS and tests and not guarded.intersection(tests):
            problems.append(f"docs/guarantees.md: {law}: no planted break is to be caught by one of its tests")
    missing = set(TABLES_OF_LAWS) - {heading for heading, _ in tables}
    return problems + [f"docs/guarantees.md has no part {heading!r}" for heading in missing]


# --- Breaking


def restore(undo):
    if not undo.exists():
        return
    saved = json.loads(undo.read_text())
    path = ROOT / saved["file"]
    if path.read_text() == saved["broken"]:
        # With a new time of change, so that what was compiled from the broken text is compiled again.
        path.write_text(saved["text"])
    elif path.read_text() != saved["text"]:
        print(f"{path} was changed while it was broken: it is left as it is", file=sys.stderr)
    undo.unlink()


@contextmanager
def planted(each, undo):
    path = ROOT / each.file
    text = path.read_text()
    broken = text.replace(each.old, each.new)
    # Kept on disk meanwhile: whoever is killed here leaves the next one something to restore.
    undo.write_text(json.dumps({"file": each.file, "text": text, "broken": broken}))
    try:
        path.write_text(broken)
        yield
    finally:
        restore(undo)


def build(directory, targets, jobs):
    command = ["cmake", "--build", str(directory), "--parallel", str(jobs), "--target", *targets]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end_all_children():
    """Broken supervision leaves processes behind. They are this one's, which is their subreaper."""
    listed = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
    while children := [int(child) for child in listed.read_text().split()]:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def fails(directory, target, tests):
    """Whether one of the tests fails."""
    scripts = [test[:-3] for test in tests if test.endswith(".py")]
    names = [test for test in tests if not test.endswith(".py")]
    commands = [["ctest", "--test-dir", str(directory), "-R", f"^end_to_end_({'|'.join(scripts)})$"]] if scripts else []
    if names:
        every = ":".join(f"{name}:*/{name}/*" for name in names)  # with parameters or without
        commands.append([str(directory / "tests" / target), f"--gtest_filter={every}"])
    for command in commands:
        limit = None if command[0] == "ctest" else TEST_SECONDS
        try:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit)
        except subprocess.TimeoutExpired:
            return True
        finally:
            end_all_children()
        if done.returncode != 0:
            return True
    return False


def judge(each, directory, jobs):
    if not each.applies():
        return "does not apply"
    with planted(each, directory / "planted_break.json"):
        built = build(directory, each.target.split(), jobs)
        if built.returncode != 0:
            print(*[line for line in built.stdout.splitlines() if "error" in line][:3], sep="\n")
            return "does not build"
        return "caught" if fails(directory, each.target, each.tests) else "NOT CAUGHT"


def run(breaks, directory, jobs):
    targets = sorted({target for each in breaks for target in each.target.split()})
    results = {}
    try:
        built = build(directory, targets, jobs)
        if built.returncode != 0:
            sys.exit(built.stdout + "The unbroken code does not build.")
        for target in sorted({each.target for each in breaks}):
            mine = [each for each in breaks if each.target == target]
            if fails(directory, target, sorted({test for each in mine for test in each.tests})):
                results.setdefault("fails unbroken", []).append(target)
                print(f"{'fails unbroken':16}{target}: its breaks are left out", flush=True)
                continue
            # Files together: one that was restored is compiled again only for another's sake.
            for each in sorted(mine, key=lambda each: each.file):
                begun = time.monotonic()
                result = judge(each, directory, jobs)
                results.setdefault(result, []).append(each)
                print(f"{result:16}{each} ({time.monotonic() - begun:.0f} s)", flush=True)
    finally:
        # Nobody shall run what was built from broken code.
        build(directory, targets, jobs)
    print(", ".join(f"{len(found)} {result}" for result, found in results.items()))
    return list(results) == ["caught"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only breaks whose area, law, file or target has one of these in it")
    parser.add_argument("--list", action="store_true", help="list the breaks")
    parser.add_argument("--check", action="store_true", help="build nothing; see that every break applies and that "
                        "the tables of docs/guarantees.md name tests that there are")
    parser.add_argument("--build", default="build", metavar="DIR", help="a configured build directory")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at once")
    arguments = parser.parse_args()
    breaks = load()
    if arguments.check:
        problems = check(breaks)
        print(*problems or [f"{len(breaks)} planted breaks apply"], sep="\n")
        sys.exit(1 if problems else 0)
    chosen = [each for each in breaks
              if not arguments.words or any(word in f"{each} {each.file} {each.target}" for word in arguments.words)]
    if arguments.list:
        for each in chosen:
            print(f"{each}\n    {each.file}: {each.target}: {' '.join(each.tests)}")
        return
    directory = (ROOT / arguments.build).resolve()
    if not (directory / "CMakeCache.txt").exists():
        sys.exit(f"{directory} is no build directory; configure one first, or name another with --build")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    restore(directory / "planted_break.json")
    sys.exit(0 if run(chosen, directory, arguments.jobs) else 1)


if __name__ == "__main__":
    main()
