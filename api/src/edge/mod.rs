//! How connections are served, by every process that listens: bounded in number, in time and in bytes.
//!
//! * [`settings`]: the bounds, as the operator sets them;
//! * [`address`]: who is at the other end, and behind which trusted proxy;
//! * `connection_limit`: how many connections there may be, and which one gives way;
//! * `line`: what a connection is doing, and since when;
//! * [`pace`]: how slowly bytes may come or be taken;
//! * `body`: a request's body, read at no less than that pace;
//! * [`quota`]: shares of what is limited: requests, uploads, bytes;
//! * `descriptors`: whether the system lets the process hold so many.

pub mod address;
mod body;
mod connection;
mod connection_limit;
mod descriptors;
mod line;
pub mod pace;
pub mod quota;
pub mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use body::{TooSlow, is_too_slow};
use connection::Connection;
use connection_limit::ConnectionLimit;
pub use line::Line;
pub use settings::Connections;

/// Connections that the system may hold for us before they are accepted.
const BACKLOG: u32 = 4096;
/// How long the acceptor rests when the system refuses it a connection.
const REST: Duration = Duration::from_millis(100);

/// Listens on `address`, with a backlog for connections that arrive at once.
///
/// # Errors
/// When the address cannot be used.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP/1.1 until `shutdown` is cancelled; then takes no more connections and gives the open requests
/// `grace` to end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Connections,
    shutdown: CancellationToken,
    grace: Duration,
) {
    let room = descriptors::room_for(settings.max_connections);
    let limit = Arc::new(ConnectionLimit::new(room, settings.max_connections_per_address));
    let settings = Arc::new(settings);
    let (tasks, dropped) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // What ended while it waited is gone; a lack of descriptors passes when something is closed.
                metrics::counter!("ledger_connections_cut_total", "why" => "accept").increment(1);
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let connection = Connection {
            stream,
            peer,
            router: router.clone(),
            settings: settings.clone(),
            shutdown: shutdown.clone(),
        };
        let Some(driven) = connection.admit(&limit) else { continue };
        let dropped = dropped.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = driven => {}
                () = dropped.cancelled() => {}
            }
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "some requests did not end in time and were dropped"
        );
        dropped.cancel();
    }
}
