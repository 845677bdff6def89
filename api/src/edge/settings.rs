//! The bounds of a listener, from the command line or the environment.

use std::time::Duration;

use clap::Args;

use super::address::Network;

/// What connections may cost.
#[derive(Debug, Clone, Args)]
pub struct Connections {
    /// Connections held at the same time; where another one comes, the one least worth keeping is closed
    #[arg(long, env = "LEDGER_MAX_CONNECTIONS", default_value_t = 8192, value_name = "N")]
    pub max_connections: usize,
    /// Connections of one address (of a /64 network, for IPv6) held at the same time
    #[arg(
        long,
        env = "LEDGER_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 4096,
        value_name = "N"
    )]
    pub max_connections_per_address: usize,
    /// Seconds in which the head of a request must have come
    #[arg(long, env = "LEDGER_HEADER_SECONDS", default_value_t = 10, value_name = "SECONDS")]
    pub header_seconds: u64,
    /// Bytes the head of a request may have, 8192 or more
    #[arg(
        long, env = "LEDGER_MAX_HEADER_BYTES", default_value_t = 16_384, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(8192..=1_048_576)
    )]
    pub max_header_bytes: u32,
    /// Seconds a connection is kept between two requests
    #[arg(long, env = "LEDGER_IDLE_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub idle_seconds: u64,
    /// Seconds in which a body may stand still, or its reader take nothing of the answer
    #[arg(long, env = "LEDGER_STALL_SECONDS", default_value_t = 10, value_name = "SECONDS")]
    pub stall_seconds: u64,
    /// Bytes a second at which a body must come, and an answer be taken, in the long run
    #[arg(
        long, env = "LEDGER_MIN_BYTES_PER_SECOND", default_value_t = 1024, value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub min_bytes_per_second: u64,
    /// Proxies whose X-Forwarded-For is believed, each an address or a network such as 10.0.0.0/8. Connections of
    /// theirs are not bounded by address
    #[arg(
        long = "trusted-proxy",
        env = "LEDGER_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "ADDRESS"
    )]
    pub trusted_proxies: Vec<Network>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_connections_per_address: 4096,
            header_seconds: 10,
            max_header_bytes: 16_384,
            idle_seconds: 60,
            stall_seconds: 10,
            min_bytes_per_second: 1024,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Connections {
    /// How long the head of a request may take.
    #[must_use]
    pub fn header_time(&self) -> Duration {
        Duration::from_secs(self.header_seconds.max(1))
    }

    /// How long a connection may be idle.
    #[must_use]
    pub fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.max(1))
    }

    /// How long nothing may move.
    #[must_use]
    pub fn stall_time(&self) -> Duration {
        Duration::from_secs(self.stall_seconds.max(1))
    }
}
