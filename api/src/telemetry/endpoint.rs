//! Where the collector is.

use std::str::FromStr;

use reqwest::Url;

/// The collector's address, as OpenTelemetry has it: the part that all signals share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// The text is no address of a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// No URL.
    #[error("give the collector's address as a URL, as in http://collector:4318")]
    NoUrl,
    /// Another protocol.
    #[error("spans are sent over http:// or https:// only")]
    Scheme,
    /// It would be logged and shown.
    #[error(
        "the address must not hold a user or a password: put a token into OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Credentials,
    /// A path is appended.
    #[error("the address must not have a query or a fragment: /v1/traces is put behind it")]
    Query,
}

impl Endpoint {
    /// Where spans go: the address with the path that OTLP gives them.
    pub(super) fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.trim().parse().map_err(|_| InvalidEndpoint::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            // A host and its port read like a scheme and the rest, and what is meant is a URL.
            let is_url = text.contains("://");
            return Err(if is_url { InvalidEndpoint::Scheme } else { InvalidEndpoint::NoUrl });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidEndpoint::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidEndpoint::Query);
        }
        Ok(Endpoint(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_spans_follows_the_address() {
        for (text, traces) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otel.example.org/base/", "https://otel.example.org/base/v1/traces"),
        ] {
            assert_eq!(
                text.parse::<Endpoint>().map(|endpoint| endpoint.traces()),
                Ok(traces.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, why) in [
            ("", InvalidEndpoint::NoUrl),
            ("collector", InvalidEndpoint::NoUrl),
            ("collector:4318", InvalidEndpoint::NoUrl),
            ("http://", InvalidEndpoint::NoUrl),
            ("grpc://collector:4317", InvalidEndpoint::Scheme),
            ("file:///spans", InvalidEndpoint::Scheme),
            ("https://me:secret@otel.example.org", InvalidEndpoint::Credentials),
            ("https://token@otel.example.org", InvalidEndpoint::Credentials),
            ("https://otel.example.org/?key=1", InvalidEndpoint::Query),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }
}
