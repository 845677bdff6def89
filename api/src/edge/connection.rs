//! One connection: HTTP/1.1 by hyper, with the clock beside it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::address::{client, is_trusted, origin};
use super::body::PacedBody;
use super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::line::{Cut, Line, Times, Wire};
use super::pace::Pace;
use super::settings::Connections;

/// A connection that has just been accepted.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) router: Router,
    pub(super) settings: Arc<Connections>,
    pub(super) shutdown: CancellationToken,
}

/// How it ended.
enum Ended {
    ByItself,
    Cut(Cut),
}

impl Connection {
    /// Takes a permit and returns the task that serves the connection; `None` if the limit is reached.
    pub(super) fn admit(
        self,
        limit: &Arc<ConnectionLimit>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let proxied = is_trusted(self.peer.ip(), &self.settings.trusted_proxies);
        let address = (!proxied).then(|| origin(self.peer.ip()));
        let times = Times { header: self.settings.header_time(), idle: self.settings.idle_time() };
        let line = Line::new(times, self.pace());
        let Some(place) = limit.enter(address, line.clone()) else {
            metrics::counter!("ledger_connections_cut_total", "why" => "refused").increment(1);
            return None;
        };
        Some(self.drive(line, place))
    }

    fn pace(&self) -> Pace {
        Pace::new(self.settings.stall_time(), self.settings.min_bytes_per_second)
    }

    async fn drive(self, line: Arc<Line>, place: ConnectionPermit) {
        // An answer is written as a whole, so nothing is gained by waiting for more.
        let _unimportant = self.stream.set_nodelay(true);
        let service = service_fn({
            let (line, router, settings) =
                (line.clone(), self.router.clone(), self.settings.clone());
            let (peer, pace) = (self.peer, self.pace());
            move |request: Request<Incoming>| {
                line.asked();
                let mut request =
                    request.map(|body| Body::new(PacedBody::new(body, pace.clone(), line.clone())));
                let address = client(peer.ip(), request.headers(), &settings.trusted_proxies);
                let extensions = request.extensions_mut();
                extensions.insert(ConnectInfo(peer));
                extensions.insert(address);
                extensions.insert(line.clone());
                let (answered, line) = (router.clone().call(request), line.clone());
                async move {
                    let response: Response = answered.await.unwrap_or_else(|never| match never {});
                    Ok::<_, Infallible>(response.map(|body| ResponseBody { body, line }))
                }
            }
        });
        let header_bytes = usize::try_from(self.settings.max_header_bytes).unwrap_or(usize::MAX);
        let stream = TokioIo::new(Wire::new(self.stream, line.clone()));
        let served =
            http1::Builder::new().max_buf_size(header_bytes).serve_connection(stream, service);
        let mut served = pin!(served);
        let mut stopping = pin!(self.shutdown.cancelled());
        let mut stopped = false;
        let mut alarm = pin!(tokio::time::sleep(self.settings.header_time()));
        // Whatever moves, moves while the connection is polled: what may take how long is asked after that.
        let watched = poll_fn(|context: &mut Context<'_>| {
            if !stopped && stopping.as_mut().poll(context).is_ready() {
                stopped = true;
                served.as_mut().graceful_shutdown();
                if line.is_waiting() {
                    return Poll::Ready(Ended::ByItself);
                }
            }
            if served.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ended::ByItself);
            }
            let Some((deadline, cut)) = line.deadline() else { return Poll::Pending };
            let deadline = tokio::time::Instant::from_std(deadline);
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            alarm.as_mut().poll(context).map(|()| Ended::Cut(cut))
        });
        tokio::select! {
            ended = watched => {
                if let Ended::Cut(cut) = ended {
                    let why = cut.as_str();
                    metrics::counter!("ledger_connections_cut_total", "why" => why).increment(1);
                }
            }
            () = place.leave.cancelled() => {}
        }
    }
}

/// A response body that reports when its last byte has been handed over.
struct ResponseBody {
    body: Body,
    line: Arc<Line>,
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.line.answered();
    }
}
