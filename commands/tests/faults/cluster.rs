//! A Postgres of one's own on a disk of one's own, to be stopped, broken and filled up.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

/// How long Postgres may take to come up, crash recovery included.
const START: Duration = Duration::from_secs(120);

/// The disk, while it is not full. Memory is taken only for what lies on it.
const DISK: &str = "size=6g,mode=0700";

/// What the janitor does once the line to it breaks, however this process ended.
const JANITOR: &str = r#"
cat >/dev/null
cd /
$AS "$BIN/pg_ctl" -D "$FOLDER/disk/data" -s -m immediate -w stop
umount "$FOLDER/disk" || umount -l "$FOLDER/disk"
rm -rf "$FOLDER"
"#;

/// What fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// A file system of its own, in memory, made as small as what it holds.
    Mounted,
    /// Where nothing may be mounted: no file may grow beyond a size, for every process of the server.
    Limited,
}

/// A private server. When it is dropped, or this process ends, nothing is left of it.
pub(crate) struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    password: String,
    pub(crate) disk: Disk,
    janitor: Child,
}

/// The newest server programs, or none.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Postgres refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn succeeded(mut command: Command) -> io::Result<ExitStatus> {
    // Nothing of ours is inherited: a server would hold it open.
    let quiet = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let status = quiet.stderr(Stdio::null()).status()?;
    if status.success() {
        Ok(status)
    } else {
        Err(io::Error::other(format!("{command:?}: {status}")))
    }
}

fn run(program: &str, arguments: &[&str]) -> io::Result<ExitStatus> {
    let mut command = Command::new(program);
    command.args(arguments);
    succeeded(command)
}

impl Cluster {
    /// A new server with an empty database, or none where Postgres is not installed.
    pub(crate) fn start() -> Option<Cluster> {
        let Some(bin) = programs() else {
            let note = "left out: PostgreSQL's programs are not on this machine\n";
            let _gone = io::stderr().write_all(note.as_bytes());
            return None;
        };
        let folder =
            std::env::temp_dir().join(format!("ledger-faults-{}", Uuid::now_v7().simple()));
        let mount = folder.join("disk");
        std::fs::create_dir_all(&mount).expect("a folder");
        std::fs::create_dir(folder.join("log")).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).expect("chmod");
        let janitor = Command::new("setsid")
            .args(["bash", "-c", JANITOR])
            .env("AS", if is_root() { "runuser -u postgres --" } else { "" })
            .env("BIN", &bin)
            .env("FOLDER", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the janitor starts");
        let path = mount.to_string_lossy().into_owned();
        let limited = std::env::var("LEDGER_FAULT_DISK").is_ok_and(|disk| disk == "limited");
        let mounted =
            !limited && run("mount", &["-t", "tmpfs", "-o", DISK, "tmpfs", &path]).is_ok();
        let disk = if mounted { Disk::Mounted } else { Disk::Limited };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let password = Uuid::now_v7().simple().to_string();
        let cluster = Cluster { folder, bin, port, password, disk, janitor };
        cluster.initialise();
        cluster.ensure_running();
        Some(cluster)
    }

    fn initialise(&self) {
        let mount = self.folder.join("disk");
        let password = self.folder.join("log/password");
        std::fs::write(&password, &self.password).expect("the password");
        if is_root() {
            for path in [&mount, &self.folder.join("log"), &password] {
                run("chown", &["postgres", &path.to_string_lossy()]).expect("chown");
            }
        }
        let mut initdb = as_postgres(&self.bin.join("initdb"));
        initdb.arg("-D").arg(self.data()).args(["-U", "ledger", "-A", "scram-sha-256"]);
        initdb.args(["-E", "UTF8", "--locale=C", "--data-checksums", "--wal-segsize=1"]);
        initdb.arg(format!("--pwfile={}", password.display()));
        succeeded(initdb).expect("initdb");
        std::fs::remove_file(password).expect("the password is removed");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("disk/data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log/postgres")
    }

    /// Where writers and journals may lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://ledger:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// A pool of the owner's, who may read everything.
    pub(crate) async fn pool(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(4).acquire_timeout(START);
        options.connect(&self.url()).await.expect("the database answers")
    }

    fn pg_ctl(&self, arguments: &[&str]) -> io::Result<ExitStatus> {
        let mut command = as_postgres(&self.bin.join("pg_ctl"));
        command.arg("-D").arg(self.data()).args(["-s", "-w", "-t", "60"]);
        command.arg("-l").arg(self.log()).arg("-o");
        command.arg(format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=100 \
             -c timezone=UTC -c log_min_messages=warning -c shared_buffers=64MB -c wal_recycle=off",
            self.port
        ));
        command.args(arguments);
        succeeded(command)
    }

    /// Stops the server in this way and starts it again.
    pub(crate) fn restart(&self, mode: &str) {
        let _was_down = self.pg_ctl(&["-m", mode, "stop"]);
        self.ensure_running();
    }

    /// Starts the server if it does not run, and waits until it takes connections.
    pub(crate) fn ensure_running(&self) {
        let begun = Instant::now();
        loop {
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-d", "postgres", "-p", &self.port.to_string()])
                .status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            assert!(begun.elapsed() < START, "Postgres does not start: {}", self.last_words());
            if self.pg_ctl(&["status"]).is_err() {
                let _tried_again = self.pg_ctl(&["start"]);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The end of the server's log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// How often the server said that there was no room.
    pub(crate) fn complaints(&self) -> usize {
        self.count(|line| {
            line.contains("No space left on device") || line.contains("File too large")
        })
    }

    /// How often the server gave up for want of room, to recover by itself or not.
    pub(crate) fn panics(&self) -> usize {
        self.count(|line| line.contains("PANIC:"))
    }

    fn count(&self, of: impl Fn(&str) -> bool) -> usize {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| of(line)).count()
    }

    /// Makes the write-ahead log go on in a new file, for which a full disk has no room: the server gives up.
    pub(crate) fn press(&self) {
        for _ in 0..3 {
            let mut psql = Command::new(self.bin.join("psql"));
            psql.args(["-qtAX", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "ledger"]);
            psql.args(["-d", "postgres", "-c", "SELECT txid_current()"]);
            psql.args(["-c", "SELECT pg_switch_wal()"]);
            psql.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "5");
            let _refused = succeeded(psql);
        }
    }

    /// From now on there is no room for anything new.
    pub(crate) fn fill(&self) {
        let path = self.folder.join("disk");
        match self.disk {
            Disk::Limited => self.limit("16384"),
            // What is written meanwhile may leave no room to shrink to: then once more.
            Disk::Mounted => {
                let shrunk = (0..100).any(|_| {
                    let used = used(&path);
                    remount(&path, &format!("remount,size={used}")).is_ok()
                });
                assert!(shrunk, "the disk cannot be made smaller");
            }
        }
    }

    /// There is room again, and the server runs, whatever became of it.
    pub(crate) fn free(&self) {
        match self.disk {
            Disk::Limited => self.limit("unlimited"),
            Disk::Mounted => {
                let path = self.folder.join("disk");
                remount(&path, &format!("remount,{DISK}")).expect("the disk grows");
            }
        }
        self.ensure_running();
    }

    /// Limits every process of the server; those that it starts later inherit that.
    fn limit(&self, bytes: &str) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(postmaster) = pid.lines().next() else { return };
        let children = Command::new("pgrep").args(["-P", postmaster]).output();
        let children = children.map(|output| output.stdout).unwrap_or_default();
        let children = String::from_utf8_lossy(&children).into_owned();
        for pid in std::iter::once(postmaster).chain(children.lines()) {
            // As the same user, who needs no capability for it. A process may have ended meanwhile.
            let mut prlimit = as_postgres(Path::new("prlimit"));
            prlimit.args(["--pid", pid, &format!("--fsize={bytes}:unlimited")]);
            let _gone = succeeded(prlimit);
        }
    }
}

fn remount(path: &Path, options: &str) -> io::Result<ExitStatus> {
    run("mount", &["-o", options, &path.to_string_lossy()])
}

/// The bytes in use on a disk of its own.
fn used(path: &Path) -> u64 {
    let output = Command::new("df").args(["-B1", "--output=used"]).arg(path).output();
    let output = output.expect("df tells").stdout;
    let text = String::from_utf8_lossy(&output).into_owned();
    text.lines().nth(1).and_then(|used| used.trim().parse().ok()).expect("a number of bytes")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ended = self.janitor.wait();
    }
}
