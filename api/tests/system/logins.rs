//! Whoever serves or works has only what it needs.

use std::time::{Duration, Instant};

use crate::support::{Instance, Process, free_port};

const ENDS_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn neither_server_nor_worker_starts_as_a_superuser() {
    let instance = Instance::new().await;
    for program in ["serve", "worker"] {
        let mut command = instance.command([program]);
        command
            .env("LEDGER_LISTEN", format!("127.0.0.1:{}", free_port()))
            .env("DATABASE_URL", &instance.url)
            .env("LEDGER_WORKER_DATABASE_URL", &instance.url);
        let name = format!("{program}-as-superuser");
        let mut process = Process::spawn(&instance, command, &name);
        let begun = Instant::now();
        while process.is_running() {
            assert!(begun.elapsed() < ENDS_WITHIN, "{program} runs as a superuser");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = instance.last_words(&name);
        assert!(said.contains("superuser"), "{program}: {said}");
    }
}
