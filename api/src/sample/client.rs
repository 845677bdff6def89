//! A client of the public API, as small as the tour needs it.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long a request may take: a capture is checked before it is answered.
const REQUEST_TIME: Duration = Duration::from_secs(120);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server did not answer.
    #[error("the server does not answer")]
    Transport(#[from] reqwest::Error),
    /// The server refused.
    #[error("{method} {path} was refused with {status}: {problem}")]
    Refused {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The status.
        status: StatusCode,
        /// The problem's code and detail.
        problem: String,
    },
    /// The answer is not what the API promises.
    #[error("the answer to {path} has no `{member}`")]
    Unexpected {
        /// The path.
        path: String,
        /// What is missing.
        member: &'static str,
    },
}

/// The JSON body of a successful response, and where it came from.
pub struct ApiResponse {
    /// The path that was asked.
    pub path: String,
    /// The body.
    pub body: Value,
}

impl ApiResponse {
    /// The position of the command's last event.
    pub fn position(&self) -> Option<u64> {
        self.body["position"].as_u64()
    }

    /// A member that is text.
    pub fn text(&self, member: &'static str) -> Result<&str, ClientError> {
        let missing = || ClientError::Unexpected { path: self.path.clone(), member };
        self.body[member].as_str().ok_or_else(missing)
    }
}

/// A logged-in user.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    purpose: &'static str,
}

impl Client {
    /// Logs in.
    pub async fn log_in(
        url: &str,
        login: &str,
        password: &str,
        purpose: &'static str,
    ) -> Result<Client, ClientError> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIME).build()?;
        let url = url.trim_end_matches('/').to_owned();
        let mut client = Client { http, url, token: String::new(), purpose };
        let credentials = json!({ "login": login, "password": password });
        let answer = client.send(Method::POST, "/v1/sessions", None, Some(&credentials)).await?;
        answer.text("access_token")?.clone_into(&mut client.token);
        Ok(client)
    }

    /// Sends a command under an id that follows from `key`.
    pub async fn command(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<ApiResponse, ClientError> {
        self.send(Method::POST, path, Some(key), Some(body)).await
    }

    /// Sends a capture.
    pub async fn capture(
        &self,
        path: &str,
        key: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<ApiResponse, ClientError> {
        let request = self
            .request(Method::POST, path, Some(key))
            .header("Content-Type", media_type)
            .body(bytes);
        self.answer(Method::POST, path, request.send().await?).await
    }

    /// Reads a document as of a position, or later.
    pub async fn read(&self, path: &str, position: u64) -> Result<ApiResponse, ClientError> {
        let request = self.request(Method::GET, path, None);
        let response = request.header("Ledger-Min-Position", position).send().await?;
        self.answer(Method::GET, path, response).await
    }

    /// Reads a picture as it is.
    pub async fn read_picture(&self, path: &str, position: u64) -> Result<Vec<u8>, ClientError> {
        let request = self.request(Method::GET, path, None);
        let response = request.header("Ledger-Min-Position", position).send().await?;
        let status = response.status();
        if !status.is_success() {
            let (method, path) = (Method::GET, path.to_owned());
            return Err(ClientError::Refused { method, path, status, problem: String::new() });
        }
        Ok(response.bytes().await?.into())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<ApiResponse, ClientError> {
        let mut request = self.request(method.clone(), path, key);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(method, path, request.send().await?).await
    }

    fn request(&self, method: Method, path: &str, key: Option<&str>) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("Purpose-Of-Use", self.purpose);
        let request = match key {
            Some(key) => request.header("Idempotency-Key", command_id(key).to_string()),
            None => request,
        };
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        response: Response,
    ) -> Result<ApiResponse, ClientError> {
        let status = response.status();
        let body: Value = response.json().await.unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(ApiResponse { path: path.to_owned(), body });
        }
        let [code, detail] = ["code", "detail"].map(|member| body[member].as_str().unwrap_or("?"));
        let problem = format!("{code}: {detail}");
        Err(ClientError::Refused { method, path: path.to_owned(), status, problem })
    }
}

/// The command id of a step of the tour (`UUIDv8`, RFC 9562).
fn command_id(key: &str) -> Uuid {
    let digest = Sha256::digest(format!("coherency-ledger sample clinic|{key}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}
