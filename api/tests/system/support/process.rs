//! Servers and workers as processes of their own, to be killed without warning.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::process::Child;
use std::time::{Duration, Instant};

use super::Instance;

/// A running process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// `ledger serve` on this port.
    pub(crate) fn serve(instance: &Instance, port: u16) -> Process {
        Process::serve_with(instance, port, &[])
    }

    /// As [`Process::serve`], with more settings.
    pub(crate) fn serve_with(instance: &Instance, port: u16, settings: &[(&str, &str)]) -> Process {
        let mut command = instance.command(["serve"]);
        command.envs(settings.iter().copied());
        command.env("LEDGER_LISTEN", format!("127.0.0.1:{port}"));
        Process::spawn(instance, command, "serve")
    }

    /// `ledger worker`.
    pub(crate) fn worker(instance: &Instance) -> Process {
        Process::spawn(instance, instance.command(["worker"]), "worker")
    }

    /// A command of the binary, which goes on until it is killed.
    pub(crate) fn spawn(
        instance: &Instance,
        mut command: std::process::Command,
        name: &str,
    ) -> Process {
        let path = instance.logs().join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(path).expect("a log file");
        let same = log.try_clone().expect("the log file again");
        let told = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            name == "RUST_LOG" && value.is_some()
        };
        if !command.get_envs().any(told) {
            command.env("RUST_LOG", "debug");
        }
        command.stdout(log).stderr(same);
        Process(command.spawn().expect("the binary starts"))
    }

    /// SIGKILL, and nothing is left of it when this returns.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("the process can be killed");
        self.0.wait().expect("the process is gone");
    }

    /// SIGTERM; whether it then ends by itself, in order and in time.
    pub(crate) fn end(&mut self, within: Duration) -> bool {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it can be told");
        let begin = Instant::now();
        while begin.elapsed() < within {
            if let Some(status) = self.0.try_wait().expect("the process can be asked") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// What the process of this id holds in memory now, in MiB.
    pub(crate) fn resident_mib(id: u32) -> u64 {
        let path = format!("/proc/{id}/status");
        let status = std::fs::read_to_string(path).expect("a running process has a status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a size in KiB") / 1024
    }

    /// Whether it runs still.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Asks again and again, until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) {
    let begin = Instant::now();
    while !ask().await {
        assert!(begin.elapsed() < within, "not within {} s: {what}", within.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
