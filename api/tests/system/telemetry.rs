//! One id leads from a request to its event and to what is made of it: the spans that a collector gets, over real requests
//! and by the real binary. They hold no patient; and a collector that is not there is nobody's trouble.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::clinic::patient;
use crate::support::traces::{needles, search};
use crate::support::{Clinic, Process, free_port, phantom, until};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Somebody of nobody's, with a name long enough to be found nowhere by chance.
const PATIENT: (&str, &str, &str, &str) =
    ("Quistgaard", "Aurelia-Philippa", "1947-03-02", "CL-104729");

/// The trace of whoever calls, the span in it, and what it must not hand on.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const STATE: &str = "vendor=Zuckerkandl";

/// All that a span may say.
const ATTRIBUTES: [&str; 18] = [
    "command.id",
    "commands",
    "correlation.id",
    "correlation.ids",
    "events",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "outcome",
    "path",
    "position",
    "position.first",
    "position.last",
    "projector",
    "read",
    "request.id",
    "stream.type",
    "worker",
];

/// A collector: what was sent to it.
#[derive(Clone, Default)]
struct Collector {
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

/// A span that arrived, and what the process is called that sent it.
#[derive(Clone, Debug)]
struct Sent {
    service: String,
    span: Span,
}

impl Collector {
    /// Starts it, and answers its address.
    async fn start() -> (Collector, String) {
        async fn take(
            State(collector): State<Collector>,
            headers: HeaderMap,
            body: Bytes,
        ) -> &'static str {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            collector.bodies.lock().expect("no panic").push(body);
            ""
        }
        let collector = Collector::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, url)
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.bodies.lock().expect("no panic").clone()
    }

    /// Every span that has arrived.
    fn spans(&self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for body in self.bodies() {
            let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
            for of_process in request.resource_spans {
                let resource = of_process.resource.expect("a resource");
                let name = resource.attributes.iter().find(|it| it.key == "service.name");
                let name = name.and_then(|it| it.value.clone()?.value);
                let Some(Attribute::StringValue(service)) = name else { panic!("no name") };
                let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
                sent.extend(spans.map(|span| Sent { service: service.clone(), span }));
            }
        }
        sent
    }

    /// The first span of this name with these attributes, as soon as it has arrived.
    async fn find(&self, name: &str, attributes: &[(&str, &str)]) -> Sent {
        let begin = Instant::now();
        loop {
            let spans = self.spans();
            let is_it = |sent: &&Sent| {
                sent.span.name == name
                    && attributes.iter().all(|(key, value)| sent.says(key).contains(value))
            };
            if let Some(found) = spans.iter().find(is_it) {
                return found.clone();
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "no span {name} with {attributes:?} among {:?}",
                spans.iter().map(|sent| sent.span.name.as_str()).collect::<BTreeSet<_>>()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Sent {
    /// What the span says under a key; nothing, if it does not.
    fn says(&self, key: &str) -> String {
        let found = self.span.attributes.iter().find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.clone()?.value) {
            Some(Attribute::StringValue(text)) => text,
            Some(Attribute::IntValue(number)) => number.to_string(),
            Some(other) => panic!("{key} is {other:?}"),
            None => String::new(),
        }
    }

    #[track_caller]
    fn is_within(&self, parent: &Sent) {
        assert_eq!(self.span.trace_id, parent.span.trace_id, "{self:?} {parent:?}");
        assert_eq!(self.span.parent_span_id, parent.span.span_id, "{self:?} {parent:?}");
    }
}

/// The ids that a caller gives a request.
struct Ids {
    request: Uuid,
    correlation: Uuid,
    command: Uuid,
}

impl Ids {
    /// Another request that is part of the same.
    fn new(correlation: Uuid) -> Ids {
        Ids { request: Uuid::now_v7(), correlation, command: Uuid::now_v7() }
    }

    /// The request with these ids, in the caller's trace.
    async fn send(&self, clinic: &Clinic, request: reqwest::RequestBuilder) -> Value {
        let answer = request
            .bearer_auth(clinic.staff.token())
            .header("Idempotency-Key", self.command.to_string())
            .header("X-Request-Id", self.request.to_string())
            .header("X-Correlation-Id", self.correlation.to_string())
            .header("traceparent", format!("00-{TRACE}-{CALLER}-00"))
            .header("tracestate", STATE)
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_leads_from_request_to_event_to_view_and_no_patient_goes_along() {
    let (collector, address) = Collector::start().await;
    let settings = [(ENDPOINT, address.as_str())];
    let mut clinic = Clinic::start_with(&settings).await;
    clinic.worker.kill();
    let mut worker = clinic.instance.command(["worker"]);
    worker.env(ENDPOINT, &address).env("OTEL_SERVICE_NAME", "worker-1");
    clinic.worker = Process::spawn(&clinic.instance, worker, "worker");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://127.0.0.1:{}", clinic.port);

    // A command: from the request to the positions that its events have in the log.
    let correlation = Uuid::now_v7();
    let (family, given, born, mrn) = PATIENT;
    let ids = Ids::new(correlation);
    let body = patient(family, given, born, mrn);
    let receipt = ids.send(&clinic, http.post(format!("{url}/v1/patients")).json(&body)).await;
    let position = receipt["position"].as_u64().expect("a position").to_string();
    let subject = receipt["stream_id"].as_str().expect("an id").to_owned();

    let (request_id, command_id) = (ids.request.to_string(), ids.command.to_string());
    let correlation_id = correlation.to_string();
    let request = collector.find("POST /v1/patients", &[("request.id", &request_id)]).await;
    assert_eq!(request.service, "ledger-serve");
    assert_eq!(request.says("correlation.id"), correlation_id);
    assert_eq!(request.says("http.response.status_code"), "201");
    assert_eq!(request.span.kind, SpanKind::Server as i32);
    // Although the caller would rather have it not sampled.
    assert_eq!(hex::encode(&request.span.trace_id), TRACE);
    assert_eq!(hex::encode(&request.span.parent_span_id), CALLER);
    let execute = collector.find("execute", &[("command.id", &command_id)]).await;
    execute.is_within(&request);
    let append = collector.find("append", &[("command.id", &command_id)]).await;
    append.is_within(&execute);
    for span in [&execute, &append] {
        assert_eq!(span.says("correlation.id"), correlation_id);
        assert_eq!(span.says("stream.type"), "patient");
        assert_eq!(span.says("outcome"), "done");
    }
    assert_eq!(append.says("position.first"), position);
    let batch = collector.find("append.batch", &[("position.first", &position)]).await;
    assert_eq!((batch.says("commands"), batch.says("outcome")), ("1".into(), "done".into()));
    assert_ne!(batch.span.trace_id, request.span.trace_id);

    // The view that is made of it, in another process.
    let view = [("projector", "patients:"), ("correlation.ids", correlation_id.as_str())];
    let project = collector.find("project", &view).await;
    assert_eq!(project.service, "worker-1");
    let [first, last, stands] =
        [project.says("position.first"), project.says("position.last"), position.clone()]
            .map(|number| number.parse::<u64>().expect("a position"));
    assert!((first..=last).contains(&stands));

    // A read, and the look that it records.
    let look = Ids::new(correlation);
    let path = format!("{url}/v1/patients/{subject}");
    let shown = http.get(path).header("Ledger-Min-Position", &position);
    let shown = look.send(&clinic, shown).await;
    assert_eq!(shown["name"]["family"], family, "the answer does show the patient");
    let request_id = look.request.to_string();
    let request = collector.find("GET /v1/patients/{id}", &[("request.id", &request_id)]).await;
    let of_it = [("correlation.id", correlation_id.as_str()), ("read", "patient")];
    let read = collector.find("read", &of_it).await;
    read.is_within(&request);
    let of_it = [("correlation.id", correlation_id.as_str()), ("stream.type", "disclosure")];
    collector.find("execute", &of_it).await.is_within(&read);

    // A scan, and the worker's answer: it belongs to the request that sent the scan.
    let wound = clinic.wound(&subject).await;
    let scan = Ids::new(Uuid::now_v7());
    let sent = http.post(format!("{url}{wound}/scans")).body(phantom(3));
    let sent = sent.header("Content-Type", wound::bundle::MEDIA_TYPE);
    let receipt = scan.send(&clinic, sent).await;
    let position = receipt["position"].as_u64().expect("a position");
    clinic.answered(&wound, position, Duration::from_secs(300)).await;
    let scan_correlation = scan.correlation.to_string();
    let of_it = [("correlation.id", scan_correlation.as_str()), ("worker", "inference")];
    let answer = collector.find("answer", &of_it).await;
    assert_eq!(answer.says("position"), position.to_string());
    assert_eq!(answer.says("command.id"), scan.command.to_string());
    assert_ne!(answer.says("outcome"), "");
    let project = [("projector", "inference:"), ("correlation.ids", scan_correlation.as_str())];
    answer.is_within(&collector.find("project", &project).await);
    let begin = Instant::now();
    loop {
        let of_scan = |sent: &Sent| sent.says("correlation.id") == scan_correlation;
        let executed: Vec<Sent> = collector.spans().into_iter().filter(of_scan).collect();
        let of_worker = |sent: &&Sent| sent.service == "worker-1" && sent.span.name == "execute";
        if let Some(execute) = executed.iter().find(of_worker) {
            execute.is_within(&answer);
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the answer's command is not seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answers = format!(
        "SELECT count(*) FROM events WHERE event_type IN ('MeasurementRecorded', 'ScanRejected')
            AND convert_from(statement, 'UTF8')::json->>'correlation_id' = '{scan_correlation}'"
    );
    assert_eq!(clinic.instance.count(&answers).await, 1, "the signed statement says the same");

    // What was sent holds nothing but what is on the list, and nobody.
    for Sent { span, .. } in collector.spans() {
        for attribute in &span.attributes {
            assert!(ATTRIBUTES.contains(&attribute.key.as_str()), "{attribute:?}");
        }
        assert!(span.events.is_empty() && span.links.is_empty(), "{span:?}");
        assert_eq!(span.trace_state, "");
    }
    let wound = wound.rsplit('/').next().expect("an id").to_owned();
    let simple = |id: &str| id.parse::<Uuid>().expect("an id").simple().to_string();
    let secrets =
        [family, given, born, mrn, &subject, &simple(&subject), &wound, &simple(&wound), STATE];
    let needles = needles(&secrets.map(str::to_owned));
    let bodies = collector.bodies();
    assert!(bodies.iter().map(Bytes::len).sum::<usize>() > 10_000);
    for body in bodies {
        search("what was sent to the collector", &body, &needles);
    }

    // What is still waiting when a process ends is sent before it does.
    let last = Ids::new(Uuid::now_v7());
    last.send(&clinic, http.get(format!("{url}/v1/log/keys"))).await;
    assert!(clinic.server.end(Duration::from_secs(30)), "the server ends in order");
    let request_id = last.request.to_string();
    assert!(collector.spans().iter().any(|sent| sent.says("request.id") == request_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_is_nobodys_trouble() {
    let address = format!("http://127.0.0.1:{}", free_port());
    let mut clinic = Clinic::start_with(&[(ENDPOINT, &address)]).await;
    let (family, given, _, mrn) = PATIENT;
    clinic.register(family, given, mrn).await;

    // It is counted each time, and said once.
    let anonymous = crate::support::Client::anonymous(clinic.port);
    until("spans were not taken several times", Duration::from_secs(60), || async {
        clinic
            .staff
            .get("/v1/appointments?practitioner=00000000-0000-7000-8000-000000000007")
            .await;
        let figures = anonymous.figures().await;
        let failed = figures
            .lines()
            .find_map(|line| line.strip_prefix("ledger_span_export_failures_total "));
        failed.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 2))
    })
    .await;
    let log = std::fs::read_to_string(clinic.instance.logs().join("serve.log")).expect("the log");
    assert_eq!(log.matches("the collector takes no spans").count(), 1);

    let begin = Instant::now();
    assert!(clinic.server.end(Duration::from_secs(30)), "the server ends in order");
    assert!(begin.elapsed() < Duration::from_secs(15), "it took {:?}", begin.elapsed());

    // What is no address is refused at once, and the reason is given.
    let mut command = clinic.instance.command(["serve"]);
    command.env(ENDPOINT, "collector:4318");
    let ran = clinic.instance.finish(command).await;
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("as in http://collector:4318"), "{}", ran.stderr);
}
