#!/usr/bin/env python3
"""Runs the mutants that cargo-mutants lists, nearly all of them in one build.

    mutants.py LIST TREE OUT PACKAGE [TESTS...]

LIST is what `cargo mutants --list --json` tells of PACKAGE; TREE is a copy of the workspace, which is changed and put
back; OUT is a folder for caught.txt, missed.txt, timeout.txt and unviable.txt, with the names of cargo-mutants. TESTS
are the packages whose tests look: PACKAGE, if none is named.

The body of a function becomes a `match` with an arm for each of its mutants, and the environment variable MUTANT
chooses. What does not compile is found by the lines of the compiler's errors and taken out again. Then each test is run
once without a mutant, which tells how long it takes and which functions it reaches, and each mutant meets the tests
that reach its function, until one fails: first those that have noticed another mutant of it, then quick ones. What no
`match` can choose (constants, `const fn`, functions that return some `impl Trait`) is changed and built one at a time,
and meets all tests.
"""

import bisect
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict, namedtuple
from pathlib import Path

# Comments and literals are taken as a whole, so that no bracket in them counts. A lifetime is no literal.
TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^'\n]*.|[^'\\\n])'|[\[\](){}]""", re.S
)
QUICK = (0.2, 1.0)  # Seconds. Tests that take longer are asked after those that do not.
PATIENCE, FACTOR = 30, 8  # A test must end within so many seconds and so many times what the longest one takes.
MEMORY = 6 << 30  # Some mutants never end to allocate.
VERDICTS = ("caught", "missed", "timeout", "unviable")

SWITCH = """
#[doc(hidden)]
#[allow(missing_docs)]
pub mod mutant_switch {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static CHOSEN: OnceLock<u32> = OnceLock::new();
    static REACHED: [AtomicBool; FUNCTIONS] = [const { AtomicBool::new(false) }; FUNCTIONS];

    pub fn active(function: usize) -> u32 {
        let reached = &REACHED[function];
        if !reached.load(Ordering::Relaxed) && !reached.swap(true, Ordering::Relaxed) {
            if let Ok(path) = std::env::var("MUTANTS_REACHED") {
                let file = std::fs::OpenOptions::new().append(true).open(path);
                let _ = file.and_then(|mut file| file.write_all(format!("{function}\\n").as_bytes()));
            }
        }
        *CHOSEN.get_or_init(|| std::env::var("MUTANT").map_or(0, |number| number.parse().unwrap_or(0)))
    }
}
"""


Mutant = namedtuple("Mutant", "number name file start end replacement")
Function = namedtuple("Function", "number file start end mutants")  # From brace to brace, both left out.
Test = namedtuple("Test", "binary folder name seconds reaches")


def die(text):
    raise SystemExit(f"error: {text}")


class Tree:
    """The sources, their functions, and the mutants that need a build of their own."""

    def __init__(self, root, package, listed):
        self.root, self.texts, self.lines, self.found, self.apart = root, {}, {}, {}, []
        self.lib = f"{package}/src/lib.rs"
        self.text(self.lib)
        for number, it in enumerate(listed, 1):
            start, end = (self.offset(it["file"], it["span"][edge]) for edge in ("start", "end"))
            function = it["function"] and self.function(it["file"], it["function"])
            (function.mutants if function else self.apart).append(
                Mutant(number, it["name"], it["file"], start, end, it["replacement"])
            )
        self.functions = [function for function in self.found.values() if function]

    def text(self, file):
        if file not in self.texts:
            self.texts[file] = (self.root / file).read_bytes().decode()
            self.lines[file] = [0, *(at.end() for at in re.finditer("\n", self.texts[file]))]
        return self.texts[file]

    def offset(self, file, place):
        self.text(file)
        return self.lines[file][place["line"] - 1] + place["column"] - 1

    def function(self, file, listed):
        """The function, or None if no `match` can be its body."""
        text, (start, end) = self.text(file), (self.offset(file, listed["span"][edge]) for edge in ("start", "end"))
        if (file, start) not in self.found:
            head, depth, at = "", 0, start
            for token in TOKEN.finditer(text, start, end):
                head += text[at : token.start()] if depth == 0 else ""
                at = token.end()
                if token[0] == "{" and depth == 0:
                    break
                depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token[0], 0)
            fixed = re.search(r"\bconst\s[\w\s]*fn\b", head) or re.search(r"\bimpl\b", listed["return_type"])
            self.found[file, start] = None if fixed else Function(len(self.found), file, at, end - 1, [])
        return self.found[file, start]

    def switched(self, file, start, end):
        """What is between two places, where the functions that lie wholly between them choose."""
        parts, at, text = [], start, self.text(file)
        inside = [it for it in self.functions if it.file == file and it.mutants and start < it.start and it.end < end]
        for function in sorted(inside, key=lambda it: it.start):
            # A function in a function is dealt with there.
            if function.start >= at:
                parts += [text[at : function.start], self.choice(function)]
                at = function.end
        return "".join(parts) + text[at:end]

    def choice(self, function):
        text, start, end = self.text(function.file), function.start, function.end
        parts = [f"\nmatch crate::mutant_switch::active({function.number}) {{ //+ function {function.number}\n"]
        for it in function.mutants:
            body = text[start : it.start] + it.replacement + text[it.end : end]
            parts.append(f"{it.number} => {{ //+ mutant {it.number}\n{body}\n}} //-\n")
        parts.append(f"_ => {{\n{self.switched(function.file, start, end)}\n}}}} //-\n")
        return "".join(parts)

    def write(self):
        """Writes all files; gives for each line the function and the mutant it stands in."""
        owners = {}
        for file, original in self.texts.items():
            text = self.switched(file, 0, len(original))
            if file == self.lib:
                text += SWITCH.replace("FUNCTIONS", str(max(len(self.found), 1)))
            self.put(file, text)
            inside = []
            for number, line in enumerate(text.split("\n"), 1):
                if begins := re.search(r"//\+ (\w+) (\d+)$", line):
                    inside = [*inside, (begins[1], int(begins[2]))]
                owners[file, number] = inside
                inside = inside[:-1] if line.endswith("//-") else inside
        return owners

    def put(self, file, text):
        # What is the same keeps its time, so that nothing is built for it.
        if (self.root / file).read_bytes() != text.encode():
            (self.root / file).write_bytes(text.encode())

    def restore(self):
        for file, text in self.texts.items():
            self.put(file, text)


def places(error, primary):
    """The lines an error names: where it is, or also what else it speaks of."""
    spans = [span for span in error["spans"] if span["is_primary"] or not primary]
    spans += [] if primary else [span for child in error["children"] for span in child["spans"]]
    while spans:
        span = spans.pop()
        yield from ((span["file_name"], line) for line in range(span["line_start"], span["line_end"] + 1))
        if span["expansion"]:
            spans.append(span["expansion"]["span"])


class Run:
    def __init__(self, tree, out, packages):
        self.tree, self.packages, self.tests, self.counts = tree, packages, [], Counter()
        self.lists = {verdict: open(out / f"{verdict}.txt", "w", encoding="utf-8") for verdict in VERDICTS}

    def say(self, verdict, mutant, started):
        print(mutant.name, file=self.lists[verdict], flush=True)
        self.counts[verdict] += 1
        took = "" if verdict == "unviable" else f" in {time.monotonic() - started:.1f} s"
        print(f"{verdict}{took}: {mutant.name}", flush=True)

    def build(self):
        """The test binaries, each with the folder of its package, and the compiler's errors."""
        command = ["cargo", "test", "--no-run", "--locked", "--all-features", "--tests", "--message-format=json"]
        command += [f"--package={package}" for package in self.packages]
        made = subprocess.run(command, cwd=self.tree.root, capture_output=True, text=True)
        messages = [json.loads(line) for line in made.stdout.splitlines()]
        errors = [it["message"] for it in messages if it["reason"] == "compiler-message"]
        errors = [it for it in errors if it["level"] == "error"]
        if made.returncode and not errors:
            die(made.stderr)
        made = [it for it in messages if it["reason"] == "compiler-artifact" and it["profile"]["test"]]
        return [(it["executable"], Path(it["manifest_path"]).parent) for it in made if it["executable"]], errors

    def build_switched(self):
        """Builds all mutants that can be chosen, without those that do not compile."""
        while True:
            started = time.monotonic()
            owners = self.tree.write()
            binaries, errors = self.build()
            print(f"built in {time.monotonic() - started:.0f} s, with {len(errors)} errors", flush=True)
            if not errors:
                return binaries
            wrong, unclear = set(), set()
            for error in errors:
                near, far = ([it for at in places(error, only) for it in owners.get(at, [])] for only in (True, False))
                named = next((those for those in (near, far) if any(kind == "mutant" for kind, _ in those)), far)
                wrong |= {number for kind, number in named if kind == "mutant"}
                unclear |= {number for _, number in named}
            if not unclear:
                die("of no mutant:\n" + "\n".join(error["rendered"] or error["message"] for error in errors))
            for function in self.tree.functions:
                for mutant in [it for it in function.mutants if it.number in wrong]:
                    function.mutants.remove(mutant)
                    self.say("unviable", mutant, started)
                # An arm may be at odds with another one only.
                if not wrong and function.number in unclear:
                    self.tree.apart += function.mutants
                    function.mutants.clear()

    def look(self, binaries):
        """Runs each test without a mutant."""
        for binary, folder in binaries:
            every, ignored = (
                subprocess.run([binary, "--list", "--format=terse", *more], cwd=folder, capture_output=True, text=True)
                for more in ([], ["--ignored"])
            )
            for line in sorted({*every.stdout.splitlines()} - {*ignored.stdout.splitlines()}):
                test = Test(binary, folder, line.removesuffix(": test"), 600, ())
                with tempfile.NamedTemporaryFile("r") as reached:
                    started = time.monotonic()
                    if self.execute([test], MUTANTS_REACHED=reached.name)[0] != "missed":
                        die(f"{test.name} fails without a mutant")
                    seconds, reaches = time.monotonic() - started, {int(it) for it in reached.read().split()}
                self.tests.append(test._replace(seconds=seconds, reaches=reaches))
        print(f"{len(self.tests)} tests take {sum(test.seconds for test in self.tests):.0f} s, one by one", flush=True)

    def execute(self, tests, **environment):
        """Runs tests of one binary: "caught" and by which, "timeout" if that takes too long, else "missed"."""
        running = subprocess.Popen(
            [tests[0].binary, "--exact", "--test-threads=2", *(test.name for test in tests)],
            cwd=tests[0].folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
        late, failed = threading.Event(), "none, as this was interrupted"

        def patience():
            limit = PATIENCE + FACTOR * max(test.seconds for test in tests)
            timer = threading.Timer(limit, lambda: (late.set(), os.killpg(running.pid, signal.SIGKILL)))
            timer.start()
            return timer

        timer = patience()
        try:
            # Each test that ends is a line.
            for line in running.stdout:
                timer.cancel()
                timer = patience()
                if end := re.match(r"test (\S+) .*FAILED$", line):
                    failed = end[1]
                    break
            else:
                failed = None
        finally:
            timer.cancel()
            if failed:
                os.killpg(running.pid, signal.SIGKILL)
            status = running.wait()
        if failed or (status and not late.is_set()):
            return "caught", next((test for test in tests if test.name == failed), tests[0])
        return "timeout" if late.is_set() else "missed", None

    def meet(self, mutant, tests, started, number=0, noticed=()):
        """Lets a mutant meet tests, first those that have noticed others like it; gives the one that does."""
        groups = defaultdict(list)
        for test in tests:
            slow = -1 if test in noticed else bisect.bisect(QUICK, test.seconds)
            groups[self.packages.index(test.folder.name), slow, test.binary].append(test)
        whole = {key: sum(test.seconds for test in group) for key, group in groups.items()}
        verdict, test = "missed", None
        for key in sorted(groups, key=lambda it: (*it[:2], whole[it])):
            verdict, test = self.execute(groups[key], MUTANT=str(number))
            if verdict != "missed":
                break
        self.say(verdict, mutant, started)
        return test

    def run(self):
        self.look(self.build_switched())
        for function in self.tree.functions:
            tests, noticed = [test for test in self.tests if function.number in test.reaches], []
            for mutant in function.mutants:
                noticed.append(self.meet(mutant, tests, time.monotonic(), mutant.number, noticed[-3:]))
        self.tree.restore()
        for mutant in self.tree.apart:
            started, text = time.monotonic(), self.tree.text(mutant.file)
            self.tree.put(mutant.file, text[: mutant.start] + mutant.replacement + text[mutant.end :])
            if self.build()[1]:
                self.say("unviable", mutant, started)
            else:
                self.meet(mutant, self.tests, started)
            self.tree.restore()


def main():
    if len(sys.argv) < 5:
        die("usage: mutants.py LIST TREE OUT PACKAGE [TESTS...]")
    listed, root, out = (Path(argument) for argument in sys.argv[1:4])
    package, *packages = sys.argv[4:]
    tree = Tree(root, package, json.loads(listed.read_text(encoding="utf-8")))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    # The switch makes frames larger: many bodies share one.
    os.environ.setdefault("RUST_MIN_STACK", str(16 << 20))
    run = Run(tree, out, packages or [package])
    try:
        run.run()
    finally:
        tree.restore()
    print(", ".join(f"{run.counts[verdict]} {verdict}" for verdict in VERDICTS))


if __name__ == "__main__":
    main()
