//! `docs/examples/verify.py`, kept running: one export a line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::folder::Said;
use crate::kinds::Mutant;

const LOOP: &str = r#"
import json, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import verify
for line in sys.stdin:
    given = json.loads(line)
    try:
        seen = [verify.Seen("seen", text.encode()) for text in given["seen"]]
        _, _, wrongs = verify.verify_export(given["folder"], verify.keys_of(given["keys"]), seen)
    except verify.Wrong as wrong:
        wrongs = [wrong]
    first = [[wrong.position, wrong.last, wrong.what] for wrong in wrongs[:1]]
    print(json.dumps(first), flush=True)
"#;

pub(crate) struct Python {
    child: Child,
    to: ChildStdin,
    from: mpsc::Receiver<String>,
}

impl Python {
    pub(crate) fn start() -> Python {
        let python = std::env::var_os("LEDGER_PYTHON")
            .map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
        let mut child = Command::new(python)
            .arg("-c")
            .arg(LOOP)
            .arg(examples)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("an interpreter: LEDGER_PYTHON names one with the package cryptography");
        let (to, out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (send, from) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Python { child, to, from }
    }

    pub(crate) fn verify(&mut self, folder: PathBuf, mutant: &Mutant) -> Said {
        let request = json!({ "folder": folder, "keys": mutant.keys, "seen": mutant.seen });
        writeln!(self.to, "{request}").expect("verify.py goes on");
        let line =
            self.from.recv_timeout(PATIENCE).expect("verify.py answers, without a traceback");
        let found: Value = serde_json::from_str(&line).expect("JSON");
        let Some(first) = found.get(0) else { return Said::Sound };
        let what = first[2].as_str().unwrap_or_default().to_owned();
        match first[0].as_u64() {
            None => Said::Whole { what },
            Some(position) => Said::Place { first: position, last: first[1].as_u64(), what },
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
