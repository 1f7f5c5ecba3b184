"""The program on damaged inputs and odd flags, seeded: clear errors, right exit codes, within bounds.

Every case is damage of a kind, drawn from the seed and the case's number, in a folder and a process of its
own, without a network. Its end must be a problem, a hint and an exit code of the contract, or a result;
within 10 seconds of processor time, and 1 GiB of memory beyond what the libraries take. `make fuzz`, and
`make fuzz SEED=1 CASE=37` for one case.

Exits with 1 if any case failed.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not outlive a fork

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import transformers

sys.path[:0] = [str(Path(__file__).parent.parent / "tests")]

from fuzzing.cases import KINDS, Result, run_cases  # noqa: E402


def main() -> int:
    """Run the cases, print a table, and say how to repeat what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1500, help="how many")
    parser.add_argument("--case", type=int, help="run this one only, and show it")
    parser.add_argument("--kind", help="run cases of this kind only")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    asked = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    numbers = list(range(asked.cases)) if asked.case is None else [asked.case]
    kinds = [kind for kind in KINDS if asked.kind in (None, kind.name)]
    began, results = time.monotonic(), []
    for result in run_cases(asked.seed, numbers, asked.jobs, root, kinds):
        results.append(result)
        if result.faults:
            _tell(result, asked.seed)
        elif asked.case is None:
            shutil.rmtree(result.folder)
        if len(results) % 100 == 0:
            print(f"{len(results)} of {len(numbers)}", file=sys.stderr, flush=True)
    if asked.case is not None:
        _show(results[0])
    else:
        _table(results, time.monotonic() - began)
    failed = any(result.faults for result in results)
    if not failed and asked.case is None:
        shutil.rmtree(root)
    else:
        print(f"What was run lies in {root}")
    return int(failed)


def _tell(result: Result, seed: int) -> None:
    last = " / ".join(line for line in result.ended.err.strip().splitlines()[-3:])[:300]
    what = ", ".join(result.faults)
    print(f"SEED={seed} CASE={result.number} {result.kind.name}: {what}\n    {last}", flush=True)


def _show(result: Result) -> None:
    print((result.folder / "run").read_text() if (result.folder / "run").exists() else "not prepared")
    ended = result.ended
    print(
        f"exit code {ended.code}, {ended.seconds:.1f} s, {ended.memory >> 20} MiB\n{ended.out}\n{ended.err}"
    )


def _table(results: list[Result], seconds: float) -> None:
    line = "{:<24}{:>7}{:>8}{:>9}{:>9}  {}"
    print(line.format("kind", "cases", "failed", "most s", "most MiB", "exit codes"))
    for kind in KINDS:
        own = [result for result in results if result.kind.name == kind.name]
        if own:
            codes = Counter(result.ended.code for result in own)
            said = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
            longest = max(result.ended.seconds for result in own)
            largest = max(result.ended.memory for result in own) >> 20
            failed = sum(bool(result.faults) for result in own)
            print(line.format(kind.name, len(own), failed, f"{longest:.1f}", largest, said))
    counts = Counter(fault for result in results for fault in result.faults)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{len(results)} cases, {sum(bool(each.faults) for each in results)} failed, in {seconds:.0f} s "
          f"({used.ru_utime + used.ru_stime:.0f} s of processor time)")  # fmt: skip
    for fault, count in counts.most_common():
        print(f"  {fault}: {count}")


if __name__ == "__main__":
    sys.exit(main())
