//! A client as anybody might write one: it repeats what was not acknowledged, under the same key.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(180);

/// Somebody who is logged in.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// A definite answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// How often the request was sent.
    pub(crate) tries: u32,
}

impl Reply {
    pub(crate) fn done(self) -> Reply {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self
    }

    /// The id of what the command was about.
    pub(crate) fn stream(&self) -> String {
        self.body["stream_id"].as_str().expect("a stream").to_owned()
    }

    pub(crate) fn position(&self) -> u64 {
        self.body["position"].as_u64().expect("a position")
    }
}

/// What is sent with a request.
pub(crate) enum Content<'a> {
    None,
    Json(&'a Value),
    Capture(&'a [u8]),
    Package(&'a [u8]),
}

impl Client {
    pub(crate) fn anonymous(port: u16) -> Client {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build();
        let url = format!("http://127.0.0.1:{port}");
        Client { http: http.expect("a client"), url, token: String::new() }
    }

    pub(crate) async fn log_in(port: u16, login: &str, password: &str) -> Client {
        let mut client = Client::anonymous(port);
        let credentials = json!({ "login": login, "password": password });
        let content = Content::Json(&credentials);
        let reply = client.send(Method::POST, "/v1/sessions", None, &content).await.done();
        client.token = reply.body["access_token"].as_str().expect("a token").to_owned();
        client
    }

    /// The same client with this access token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        Client { token: token.to_owned(), ..self.clone() }
    }

    /// The access token.
    pub(crate) fn token(&self) -> String {
        self.token.clone()
    }

    /// The same person, on a connection that does not exist yet.
    pub(crate) fn reconnected(&self) -> Client {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build();
        Client { http: http.expect("a client"), ..self.clone() }
    }

    /// The same person at another server.
    pub(crate) fn at(&self, port: u16) -> Client {
        Client { url: format!("http://127.0.0.1:{port}"), ..self.reconnected() }
    }

    /// Sends once, and takes whatever comes of it: a status and a body, or no answer.
    pub(crate) async fn once(
        &self,
        method: Method,
        path: &str,
        key: Option<Uuid>,
        content: &Content<'_>,
    ) -> Result<(u16, Value), reqwest::Error> {
        self.attempt(method, path, key, content).await
    }

    /// Whether the server answers at all.
    pub(crate) async fn get_live(&self) -> bool {
        let asked = self.http.get(format!("{}/health/live", self.url)).send().await;
        asked.is_ok_and(|response| response.status().is_success())
    }

    /// What the process has counted; nothing if it does not say.
    pub(crate) async fn figures(&self) -> String {
        match self.http.get(format!("{}/metrics", self.url)).send().await {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Whether the server is ready.
    pub(crate) async fn ready(&self) -> bool {
        let asked = self.http.get(format!("{}/health/ready", self.url)).send().await;
        asked.is_ok_and(|response| response.status().is_success())
    }

    /// A command under a new key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(Uuid::now_v7()), &Content::Json(body)).await
    }

    /// A command under this key.
    pub(crate) async fn post_as(&self, key: Uuid, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(key), &Content::Json(body)).await
    }

    /// An edit under a new key.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, Some(Uuid::now_v7()), &Content::Json(body)).await
    }

    /// A capture.
    pub(crate) async fn capture(&self, key: Uuid, path: &str, bytes: &[u8]) -> Reply {
        self.send(Method::POST, path, Some(key), &Content::Capture(bytes)).await
    }

    /// A model's package.
    pub(crate) async fn package(&self, key: Uuid, bytes: &[u8]) -> Reply {
        self.send(Method::POST, "/v1/models", Some(key), &Content::Package(bytes)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, &Content::None).await
    }

    /// A look that must see this position.
    pub(crate) async fn get_at(&self, path: &str, position: u64) -> Reply {
        let path = format!("{path}#{position}");
        self.send(Method::GET, &path, None, &Content::None).await
    }

    /// A command under a new key, sent once: whatever is answered is the answer; nothing, if nobody does.
    pub(crate) async fn post_once(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let (key, content) = (Some(Uuid::now_v7()), Content::Json(body));
        self.attempt(Method::POST, path, key, &content).await.ok()
    }

    /// A look, sent once.
    pub(crate) async fn get_once(&self, path: &str) -> Option<(u16, Value)> {
        self.attempt(Method::GET, path, None, &Content::None).await.ok()
    }

    /// Sends until there is a definite answer: neither a broken connection nor a failure of the server's.
    async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<Uuid>,
        content: &Content<'_>,
    ) -> Reply {
        let begin = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = self.attempt(method.clone(), path, key, content).await;
            match outcome {
                Ok((status, body)) if status < 500 => return Reply { status, body, tries },
                _ => {
                    assert!(begin.elapsed() < PATIENCE, "no answer to {path}: {outcome:?}");
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        key: Option<Uuid>,
        content: &Content<'_>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let (path, position) = path.split_once('#').unwrap_or((path, ""));
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if !position.is_empty() {
            request = request.header("Ledger-Min-Position", position);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key.to_string());
        }
        request = match content {
            Content::None => request,
            Content::Json(body) => request.json(body),
            Content::Capture(bytes) => {
                request.header("Content-Type", wound::bundle::MEDIA_TYPE).body(bytes.to_vec())
            }
            Content::Package(bytes) => request
                .header("Content-Type", wound::network::PACKAGE_MEDIA_TYPE)
                .body(bytes.to_vec()),
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        // An answer that breaks off is no answer.
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}
