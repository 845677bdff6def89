//! One attack: made on a copy, with a server that runs meanwhile and one that starts afterwards.

use std::collections::BTreeMap;

use commands::database::Login;
use serde_json::Value;
use sqlx::{Executor as _, PgConnection, PgPool};

use super::changes::{Change, Made, make};
use super::lane::Lane;
use super::questions::{Answer, Answers, Question, believed};
use super::report::Tally;

/// How everything is answered while nobody attacks: by the server that runs, then by the one that starts after it.
pub(crate) struct Honest {
    pub(crate) running: Answers,
    pub(crate) started: Answers,
    looks: BTreeMap<String, i64>,
}

/// What came of an attack.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) made: bool,
    pub(crate) believed: Vec<String>,
    pub(crate) noticed: bool,
    pub(crate) named: bool,
    pub(crate) stopped: usize,
    /// What the audit said first.
    pub(crate) said: String,
}

/// How often whose record was looked at, as far as the log can be asked.
async fn looks(pool: &PgPool) -> BTreeMap<String, i64> {
    let sql = "SELECT coalesce(subject::text, ''), count(*) FROM public.events
                WHERE aggregate_type = 'disclosure' GROUP BY 1";
    let found: Result<Vec<(String, i64)>, _> = sqlx::query_as(sql).fetch_all(pool).await;
    found.unwrap_or_default().into_iter().collect()
}

fn since(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let more = |(subject, count): (&String, &i64)| {
        let more = count - before.get(subject).copied().unwrap_or_default();
        (more != 0).then(|| (subject.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

impl Lane<'_> {
    /// Asks everything of a copy that nobody has touched, and makes sure that it is worth asking.
    pub(crate) async fn honest(&mut self, questions: &[Question], tally: &Tally) -> Honest {
        self.reset().await;
        let (status, report) = self.verify().await;
        assert_eq!(status, 0, "the scene is not sound: {report}");
        let pool = self.pool().await;
        let before = looks(&pool).await;
        let running = self.serve().await;
        let answers = self.scene.ask(questions, running.port).await;
        let looks = since(&before, &looks(&pool).await);
        let started = self.serve().await;
        let later = self.scene.ask(questions, started.port).await;
        let counted = self.counted(running.port).await + &self.counted(started.port).await;
        drop((running, started));
        let honest = Honest { running: answers, started: later, looks };
        for question in questions {
            for answers in [&honest.running, &honest.started] {
                let answer = &answers[question.name];
                let as_meant = match answer {
                    Answer::Said(status, _) => question.is_wish == (400..500).contains(status),
                    Answer::Stopped(_) => false,
                };
                // What was erased is told by 410.
                let is_erased = question.name == "erased patient";
                if question.is_wish && !as_meant {
                    tally.wrong(format!(
                        "granted without any attack: {}: {answer:?}",
                        question.name
                    ));
                    continue;
                }
                assert!(as_meant || is_erased, "{}: {answer:?}", question.name);
            }
        }
        assert_eq!(
            honest.looks.len(),
            5 - 1,
            "each patient who can be looked at was: {:?}",
            honest.looks
        );
        assert_eq!(counted.lines().filter(|line| !line.ends_with(" 0")).count(), 0, "{counted}");
        let (status, report) = self.verify().await;
        assert_eq!(status, 0, "what was asked left something unsound: {report}");
        honest
    }

    /// Makes one change and looks what comes of it.
    pub(crate) async fn attack(
        &mut self,
        change: &Change,
        questions: &[Question],
        honest: &Honest,
    ) -> Outcome {
        self.reset().await;
        let running = self.serve().await;
        // What leaves no look behind, so that there is something in memory.
        let known: Vec<&str> = vec!["account", "disabled account", "custody", "models"];
        let before = self.scene.ask_some(questions, running.port, &known).await;
        assert!(before.values().all(|answer| matches!(answer, Answer::Said(200, _))), "{before:?}");
        let pool = self.pool().await;
        let mut own = None;
        let made = match change.login {
            None => make(&pool, change).await,
            Some(login) => {
                let (connection, made) = self.make_as(login, &change.sql).await;
                own = Some(connection);
                made
            }
        };
        if made != Made::Done {
            return Outcome { said: format!("{made:?}"), ..Outcome::default() };
        }
        let (status, report) = self.verify().await;
        let seen = looks(&pool).await;
        let answers = self.scene.ask(questions, running.port).await;
        let mut wrong = believed(&honest.running, &answers);
        let looked = since(&seen, &looks(&pool).await);
        for (subject, count) in &looked {
            let usual = honest.looks.get(subject).copied().unwrap_or_default();
            if *count > usual {
                wrong.push(format!("looks at {subject}: {count} instead of {usual}"));
            }
        }
        let is_stop = |answer: &&Answer| matches!(answer, Answer::Stopped(_));
        let mut stopped = answers.values().filter(is_stop).count();
        if stopped == 0 && looked != honest.looks && !change.sql.contains("public.events") {
            wrong.push(format!("looks: {looked:?} instead of {:?}", honest.looks));
        }
        let mut counted = self.counted(running.port).await;
        let started = self.serve().await;
        if started.refused() {
            stopped += questions.len();
        } else {
            let answers = self.scene.ask(questions, started.port).await;
            stopped += answers.values().filter(is_stop).count();
            let later = believed(&honest.started, &answers);
            wrong.extend(later.into_iter().map(|wrong| format!("after a start: {wrong}")));
            counted += &self.counted(started.port).await;
        }
        drop((running, started, own));
        pool.close().await;
        Outcome {
            made: true,
            believed: wrong,
            noticed: status != 0 || !counted.is_empty(),
            named: status != 0 && change.place.is_named(&report),
            stopped,
            said: said(status, &report),
        }
    }

    /// Does it by a login of the product, and stays connected.
    async fn make_as(&self, login: Login, sql: &str) -> (PgConnection, Made) {
        let mut connection = self.login(login).await;
        let done = connection.execute(format!("BEGIN; {sql}; COMMIT").as_str()).await;
        let made = match done {
            Ok(_) => Made::Done,
            Err(_) => Made::Refused,
        };
        (connection, made)
    }
}

/// The first thing that the audit said, in short.
fn said(status: i32, report: &Value) -> String {
    let findings = report["findings"].as_array();
    let text = match findings {
        Some(findings) => {
            let first: Vec<String> = findings.iter().take(3).map(Value::to_string).collect();
            format!("{} findings: {}", findings.len(), first.join(" "))
        }
        None => report.to_string(),
    };
    format!("verify {status}: {}", text.chars().take(600).collect::<String>())
}
