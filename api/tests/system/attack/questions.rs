//! What is asked before and after each attack. One rule for all of it: the answer is what it was, or the ledger has stopped.
//!
//! Half of the questions are what honest people do. The other half are what nobody may: their honest answer is a refusal, and so
//! an attack that is believed shows as another answer.

use std::collections::BTreeMap;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scene::{Ids, MINE, PRACTITIONER, START, Scene, Who, erasure};
use crate::support::Content;
use crate::support::clinic::{PASSWORD, booking, patient};

/// How much of an answer must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Same {
    /// All that it says.
    Whole,
    /// The status, the code of a refusal, and what it was about: the rest is of the moment.
    Gist,
    /// Of a repeated command: what was done, and where it stands.
    Receipt,
    /// Who was logged in, and as what.
    Session,
}

pub(crate) struct Question {
    pub(crate) name: &'static str,
    who: Who,
    method: Method,
    path: String,
    body: Option<Value>,
    key: Option<Uuid>,
    same: Same,
    /// Nobody may: the honest answer is no.
    pub(crate) is_wish: bool,
    /// Changes something, so it is asked after those that only look.
    changes: bool,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Said(u16, Value),
    /// Nothing was done, and it was said why; or there was nobody to answer.
    Stopped(String),
}

pub(crate) type Answers = BTreeMap<&'static str, Answer>;

struct List(Vec<Question>);

impl List {
    fn ask(&mut self, name: &'static str, who: Who, method: Method, path: String) -> &mut Question {
        let is_look = method == Method::GET || path.ends_with("/search");
        self.0.push(Question {
            name,
            who,
            changes: !is_look,
            key: (!is_look).then(|| Uuid::from_u128(0xa77a_0000 + self.0.len() as u128)),
            same: if is_look { Same::Whole } else { Same::Gist },
            method,
            path,
            body: None,
            is_wish: false,
        });
        self.0.last_mut().expect("just pushed")
    }

    fn look(&mut self, name: &'static str, who: Who, path: String) -> &mut Question {
        self.ask(name, who, Method::GET, path)
    }

    fn post(&mut self, name: &'static str, who: Who, path: &str, body: Value) -> &mut Question {
        let question = self.ask(name, who, Method::POST, path.to_owned());
        question.body = Some(body);
        question
    }

    fn wish(&mut self, name: &'static str, who: Who, path: &str, body: Value) -> &mut Question {
        let question = self.post(name, who, path, body);
        question.is_wish = true;
        question
    }

    fn log_in(&mut self, name: &'static str, login: &str, password: &str) -> &mut Question {
        let body = json!({ "login": login, "password": password });
        let question = self.post(name, Who::Nobody, "/v1/sessions", body);
        (question.same, question.key, question.changes) = (Same::Session, None, false);
        question
    }
}

/// Everything that is asked.
pub(crate) fn questions(ids: &Ids) -> Vec<Question> {
    let mut list = List(Vec::new());
    honest(&mut list, ids);
    wishes(&mut list, ids);
    list.0
}

fn honest(list: &mut List, ids: &Ids) {
    use Who::{Admin, Clinician, FrontDesk, Nobody, Officer};
    for (name, id) in [
        ("patient", &ids.patient),
        ("other patient", &ids.other),
        ("held patient", &ids.held),
        ("erased patient", &ids.erased),
        ("long patient", &ids.long),
    ] {
        list.look(name, Clinician, format!("/v1/patients/{id}"));
    }
    list.look("visit", FrontDesk, format!("/v1/appointments/{}", ids.visit));
    list.look("other visit", FrontDesk, format!("/v1/appointments/{}", ids.other_visit));
    list.look("erased visit", FrontDesk, format!("/v1/appointments/{}", ids.erased_visit));
    list.look("wound", Clinician, format!("/v1/wounds/{}", ids.wound));
    list.look("healing", Clinician, format!("/v1/wounds/{}/healing", ids.wound));
    list.look("wounds", Clinician, format!("/v1/patients/{}/wounds", ids.patient));
    list.look("visits", FrontDesk, format!("/v1/appointments?practitioner={PRACTITIONER}"));
    list.look("visits of one", FrontDesk, format!("/v1/appointments?patient={}", ids.other));
    // `#`: as of this position.
    for (name, path) in [
        ("practitioner since", format!("/v1/practitioners/{PRACTITIONER}")),
        ("practitioners since", "/v1/practitioners".to_owned()),
        ("locations since", "/v1/locations".to_owned()),
        ("patient since", format!("/v1/patients/{}", ids.other)),
        ("visit since", format!("/v1/appointments/{}", ids.visit)),
        ("wounds since", format!("/v1/patients/{}/wounds", ids.patient)),
    ] {
        list.look(name, Clinician, format!("{path}#{}", ids.booked_at));
    }
    list.post("search", FrontDesk, "/v1/patients/search", json!({ "family": "Attacked" })).same =
        Same::Whole;
    list.look("account", Admin, format!("/v1/accounts/{}", ids.front_desk));
    list.look("disabled account", Admin, format!("/v1/accounts/{}", ids.leaver));
    list.look("custody", Officer, format!("/v1/patients/{}/custody", ids.held));
    list.look("holds", Officer, format!("/v1/patients/{}/holds", ids.held));
    list.look("custody of the erased", Officer, format!("/v1/patients/{}/custody", ids.erased));
    list.look("models", Admin, "/v1/models".to_owned());
    list.look("a receipt", FrontDesk, format!("/v1/receipts/{}", ids.booking_key)).same =
        Same::Receipt;
    list.look("keys of the log", Nobody, "/v1/log/keys".to_owned());
    list.look("a tile", Officer, "/v1/log/tile/0/000".to_owned());
    list.log_in("log-in", "front-desk", PASSWORD);
    let visit = booking(&ids.patient, PRACTITIONER, START);
    let again = list.post("a booking sent again", FrontDesk, "/v1/appointments", visit);
    (again.key, again.same) = (Some(ids.booking_key), Same::Receipt);
    let new = patient("Newcomer", "Jorunn", "1952-11-19", "ATT-9");
    list.post("a registration", FrontDesk, "/v1/patients", with_id(new, 0x91));
    let free = booking(&ids.other, PRACTITIONER, "2031-03-04T09:00");
    list.post("a booking", FrontDesk, "/v1/appointments", with_id(free, 0x92));
    let contacts =
        json!({ "contacts": [{ "system": "phone", "value": "+47 1" }], "reason": "moved" });
    let edit =
        list.post("an edit", FrontDesk, &format!("/v1/patients/{}/contacts", ids.held), contacts);
    edit.method = Method::PUT;
}

/// An id of one's own choice.
fn with_id(mut body: Value, id: u128) -> Value {
    body["id"] = json!(Uuid::from_u128((0x0190_0000_0000_7000_8000_u128 << 48) + id));
    body
}

fn wishes(list: &mut List, ids: &Ids) {
    use Who::{Admin, Clinician, FrontDesk, Leaver, Officer};
    list.log_in("log in as the administrator", "admin", MINE).is_wish = true;
    list.log_in("log in as the leaver", "leaver", PASSWORD).is_wish = true;
    let account = |login: &str| json!({ "login": login, "display_name": "Mine", "password": MINE });
    list.wish("make an account at the front desk", FrontDesk, "/v1/accounts", account("mine"));
    list.wish("make an account as the leaver", Leaver, "/v1/accounts", account("mine"));
    list.wish("take a log-in name", Admin, "/v1/accounts", account("front-desk"));
    let roles = format!("/v1/accounts/{}/roles", ids.front_desk);
    list.wish("grant a role at the front desk", FrontDesk, &roles, json!({ "role": "admin" }));
    let wound = format!("/v1/wounds/{}", ids.wound);
    list.look("read a wound at the front desk", FrontDesk, wound.clone()).is_wish = true;
    let close = json!({ "outcome": "healed" });
    list.wish("close a wound at the front desk", FrontDesk, &format!("{wound}/close"), close);
    let same = booking(&ids.other, PRACTITIONER, START);
    list.wish("book the same time", FrontDesk, "/v1/appointments", same);
    let same = patient("Double", "Jorunn", "1952-11-19", "ATT-1");
    list.wish("register the same number", FrontDesk, "/v1/patients", same);
    let path = format!("/v1/patients/{}/erase", ids.held);
    list.wish("erase under a hold", Officer, &path, erasure());
    list.wish("erase at the front desk", FrontDesk, &path, erasure());
    let path = format!("/v1/patients/{}/erase", ids.erased);
    list.wish("erase again", Officer, &path, erasure());
    let gone = booking(&ids.erased, PRACTITIONER, "2031-03-05T09:00");
    list.wish("book for the erased", FrontDesk, "/v1/appointments", gone);
    let contacts =
        json!({ "contacts": [{ "system": "phone", "value": "+47 2" }], "reason": "moved" });
    for (name, id) in [("edit the erased", &ids.erased), ("leave the record out of use", &ids.long)]
    {
        let path = match name {
            "edit the erased" => format!("/v1/patients/{id}/contacts"),
            _ => format!("/v1/patients/{id}/deactivate"),
        };
        let body = if name == "edit the erased" {
            contacts.clone()
        } else {
            json!({ "reason": "moved-away" })
        };
        let wish = list.wish(name, FrontDesk, &path, body);
        if name == "edit the erased" {
            wish.method = Method::PUT;
        }
    }
    let other = booking(&ids.other, PRACTITIONER, "2031-03-06T09:00");
    list.wish("another command under a used key", FrontDesk, "/v1/appointments", other).key =
        Some(ids.booking_key);
    let new = |mrn: &str| patient("Reserved", "Jorunn", "1952-11-19", mrn);
    for (name, id) in [
        ("register under no id", Uuid::nil().to_string()),
        ("register under the last id", Uuid::max().to_string()),
    ] {
        let mut body = new(name);
        body["id"] = json!(id);
        list.wish(name, Clinician, "/v1/patients", body);
    }
}

impl Scene {
    /// Asks everything at the server on this port: first what only looks, then what nobody may, then what changes something.
    pub(crate) async fn ask(&self, questions: &[Question], port: u16) -> Answers {
        let mut answers = Answers::new();
        for round in 0..3 {
            let of_round = |question: &&Question| {
                let own = match (question.changes, question.is_wish) {
                    (false, _) => 0,
                    (true, true) => 1,
                    (true, false) => 2,
                };
                own == round
            };
            let asked = questions.iter().filter(of_round);
            answers.extend(join_all(asked.map(|question| self.put(question, port))).await);
        }
        answers
    }

    /// As [`Scene::ask`], only these.
    pub(crate) async fn ask_some(
        &self,
        questions: &[Question],
        port: u16,
        names: &[&str],
    ) -> Answers {
        let asked = questions.iter().filter(|question| names.contains(&question.name));
        join_all(asked.map(|question| self.put(question, port))).await.into_iter().collect()
    }

    /// As [`Scene::ask`], only what reads documents.
    pub(crate) async fn ask_looks(&self, questions: &[Question], port: u16) -> Answers {
        let reads = |question: &&Question| {
            let others = ["/v1/accounts", "/v1/models", "/v1/log", "/v1/receipts", "/v1/sessions"];
            let is_other = others.iter().any(|other| question.path.starts_with(other));
            let is_custody = ["/custody", "/holds"].iter().any(|end| question.path.ends_with(end));
            !question.changes && !question.is_wish && !is_other && !is_custody
        };
        let asked = questions.iter().filter(reads);
        join_all(asked.map(|question| self.put(question, port))).await.into_iter().collect()
    }

    async fn put(&self, question: &Question, port: u16) -> (&'static str, Answer) {
        let client = self.client(question.who, port);
        let content = question.body.as_ref().map_or(Content::None, Content::Json);
        let (method, path) = (question.method.clone(), question.path.as_str());
        let answer = client.once(method, path, question.key, &content).await;
        (question.name, question.read(answer))
    }
}

impl Question {
    fn read(&self, answer: Result<(u16, Value), reqwest::Error>) -> Answer {
        let Ok((status, mut body)) = answer else {
            return Answer::Stopped("no answer".to_owned());
        };
        let code = body["code"].as_str().map(str::to_owned);
        if status >= 500 || status == 429 {
            return match code {
                Some(code) => Answer::Stopped(code),
                // Not even a problem document: that is no way to stop.
                None => Answer::Said(status, body),
            };
        }
        if status >= 400 {
            return Answer::Said(status, json!(code));
        }
        let said = match self.same {
            Same::Whole => {
                strip(&mut body);
                body
            }
            Same::Gist => body["stream_id"].clone(),
            Same::Receipt => {
                let events = body["events"].as_array().cloned().unwrap_or_default();
                let events = events.iter().map(|event| {
                    json!([event["position"], event["event_id"], event["event_type"], event["jws"]])
                });
                json!({ "stream": body["stream_id"], "position": body["position"],
                        "version": body["version"], "events": events.collect::<Vec<_>>() })
            }
            Same::Session => session(&body),
        };
        Answer::Said(status, if self.is_wish { json!({ "granted": said }) } else { said })
    }
}

/// Takes out what is of the moment.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("instance");
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Whom an access token names, and as what.
fn session(body: &Value) -> Value {
    use base64::Engine as _;
    let token = body["access_token"].as_str().unwrap_or_default();
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    json!([claims["sub"], claims["roles"]])
}

/// Whether a list is the honest one but for something that it lacks.
fn lacks(honest: &Answer, answer: &Answer) -> bool {
    let (Answer::Said(200, honest), Answer::Said(200, said)) = (honest, answer) else {
        return false;
    };
    match (honest["items"].as_array(), said["items"].as_array()) {
        (Some(honest), Some(said)) => said.iter().all(|item| honest.contains(item)),
        _ => false,
    }
}

/// What is believed: answers that are neither the honest ones nor a stop. Apart from them, lists that lack something.
pub(crate) fn believed(honest: &Answers, answers: &Answers) -> (Vec<String>, Vec<&'static str>) {
    let (mut wrong, mut lacking) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        let Answer::Said(status, said) = answer else { continue };
        let expected = &honest[name];
        if lacks(expected, answer) && answer != expected {
            lacking.push(*name);
        } else if answer != expected {
            let said: String = said.to_string().chars().take(300).collect();
            let Answer::Said(right, _) = expected else { continue };
            wrong.push(format!("{name}: {status} {said} instead of {right}"));
        }
    }
    (wrong, lacking)
}
