//! One attack: made on a copy, with a server that runs meanwhile and one that starts afterwards.

use std::collections::BTreeMap;
use std::time::Instant;

use commands::database::Login;
use serde_json::Value;
use sqlx::{Executor as _, PgConnection, PgPool};

use super::changes::{Change, Made, findings, make};
use super::lane::{Lane, Server};
use super::questions::{Answer, Answers, Question, believed};
use super::report::Tally;

/// How everything is answered while nobody attacks, and whose records are looked at by that.
pub(crate) struct Honest {
    pub(crate) answers: Answers,
    looks: BTreeMap<String, i64>,
}

/// What is asked, what the honest answers are, and those to whoever asks it all for the second time.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) questions: &'a [Question],
    pub(crate) honest: &'a Honest,
    pub(crate) later: &'a Honest,
}

/// Who is asked: a server that was running during the attack, one that starts after it, both, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    Both,
    Running,
    Started,
    /// Nobody: only the audit.
    Nobody,
}

/// What came of an attack.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) made: bool,
    pub(crate) believed: Vec<String>,
    /// Lists that lacked something.
    pub(crate) lacking: Vec<&'static str>,
    pub(crate) noticed: bool,
    pub(crate) named: bool,
    pub(crate) stopped: usize,
    /// What the audit said first.
    pub(crate) said: String,
    /// How long each part took.
    pub(crate) times: String,
}

/// How long each part of an attack takes, for `ATTACK_TIMES`.
struct Clock {
    since: Instant,
    said: String,
}

impl Clock {
    fn start() -> Clock {
        Clock { since: Instant::now(), said: String::new() }
    }

    fn tick(&mut self, what: &str) {
        self.said += &format!("{what} {:.1?} ", self.since.elapsed());
        self.since = Instant::now();
    }
}

fn is_stop(answer: &Answer) -> bool {
    matches!(answer, Answer::Stopped(_))
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
    /// Asks everything twice of a copy that nobody has touched, and makes sure that it is worth asking.
    pub(crate) async fn honest(
        &mut self,
        questions: &[Question],
        tally: &Tally,
    ) -> (Honest, Honest) {
        let mut tries = 0;
        let mut twice = self.ask_twice(questions).await;
        // A machine that is busy with something else may have let somebody wait too long.
        while tries < 3 && twice.iter().any(|honest| honest.answers.values().any(is_stop)) {
            tries += 1;
            twice = self.ask_twice(questions).await;
        }
        for question in questions {
            for honest in &twice {
                let answer = &honest.answers[question.name];
                let as_meant = match answer {
                    Answer::Said(status, _) => question.is_wish == (400..500).contains(status),
                    Answer::Stopped(_) => false,
                };
                if question.is_wish && !as_meant {
                    let name = question.name;
                    tally.wrong(format!("granted without any attack: {name}: {answer:?}"));
                    continue;
                }
                // What was erased is told by 410.
                let is_erased = ["erased patient", "erased visit"].contains(&question.name);
                assert!(as_meant || is_erased, "{}: {answer:?}", question.name);
            }
        }
        let (status, report) = self.verify().await;
        assert_eq!(status, 0, "what was asked left something unsound: {report}");
        for honest in &twice {
            let looks = &honest.looks;
            assert_eq!(looks.len(), 4, "each patient who can be looked at was: {looks:?}");
        }
        let later = twice.pop().expect("two");
        (twice.pop().expect("two"), later)
    }

    /// Everything, on a new copy, at two servers, one after the other.
    async fn ask_twice(&mut self, questions: &[Question]) -> Vec<Honest> {
        self.reset().await;
        let (status, report) = self.verify().await;
        assert_eq!(status, 0, "the scene is not sound: {report}");
        let pool = self.pool().await;
        let mut twice = Vec::new();
        let mut servers = Vec::new();
        for _ in 0..2 {
            let before = looks(&pool).await;
            let server = self.serve().await;
            let answers = self.scene.ask(questions, server.port).await;
            let looks = since(&before, &looks(&pool).await);
            let counted = self.counted(server.port).await;
            assert_eq!(counted, "", "something is damaged and nobody did it");
            twice.push(Honest { answers, looks });
            servers.push(server);
        }
        pool.close().await;
        twice
    }

    /// Makes one change and looks what comes of it.
    pub(crate) async fn attack(
        &mut self,
        change: &Change,
        asked: &Asked<'_>,
        who: Servers,
    ) -> Outcome {
        let mut clock = Clock::start();
        self.reset().await;
        clock.tick("copied");
        let running = match who {
            Servers::Started | Servers::Nobody => None,
            Servers::Both | Servers::Running => Some(self.serve().await),
        };
        if let Some(running) = &running {
            // So that there is something in memory.
            let known = ["account", "disabled account", "custody", "models"];
            let mut before = self.scene.ask_some(asked.questions, running.port, &known).await;
            let mut tries = 0;
            // On a busy machine somebody may have waited too long.
            while tries < 5 && before.values().any(is_stop) {
                tries += 1;
                before = self.scene.ask_some(asked.questions, running.port, &known).await;
            }
            let is_known = |answer: &Answer| matches!(answer, Answer::Said(200, _));
            assert!(before.values().all(is_known), "{before:?}");
        }
        clock.tick("serves");
        let pool = self.pool().await;
        // The looks at that are events.
        let size: i64 = sqlx::query_scalar("SELECT size FROM public.ledger_head")
            .fetch_one(&pool)
            .await
            .expect("Postgres answers");
        let place = change.place.after_growth(
            self.scene.size.cast_unsigned(),
            (size - self.scene.size).cast_unsigned(),
        );
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
        // Before anybody can have put right what is derived.
        let (status, report) = self.verify().await;
        clock.tick("verified");
        let mut outcome = Outcome {
            made: true,
            noticed: status != 0,
            named: status != 0 && place.is_named(&report),
            said: said(status, &report),
            ..Outcome::default()
        };
        if let Some(running) = &running {
            self.judge(change, asked, running, &pool, &mut outcome).await;
            clock.tick("asked");
        }
        if matches!(who, Servers::Both | Servers::Started) {
            let started = self.serve().await;
            if started.refused() {
                outcome.stopped += asked.questions.len();
            } else {
                let later = match running {
                    // Asked for the second time here.
                    Some(_) => Asked { honest: asked.later, ..*asked },
                    None => *asked,
                };
                self.judge(change, &later, &started, &pool, &mut outcome).await;
            }
            clock.tick("asked a server that started");
        }
        drop((running, own));
        pool.close().await;
        outcome.times = clock.said;
        outcome
    }

    /// Asks everything, and compares.
    async fn judge(
        &self,
        change: &Change,
        asked: &Asked<'_>,
        server: &Server,
        pool: &PgPool,
        outcome: &mut Outcome,
    ) {
        let seen = looks(pool).await;
        let answers = self.scene.ask(asked.questions, server.port).await;
        let (wrong, lacking) = believed(&asked.honest.answers, &answers);
        outcome.believed.extend(wrong);
        // What PostgreSQL holds hides nothing from a list.
        outcome.believed.extend(lacking.iter().map(|name| format!("{name} instead of all of it")));
        let looked = since(&seen, &looks(pool).await);
        let usual = &asked.honest.looks;
        for (subject, count) in &looked {
            let usual = usual.get(subject).copied().unwrap_or_default();
            if *count > usual {
                outcome.believed.push(format!("looks at {subject}: {count} instead of {usual}"));
            }
        }
        let stopped = answers.values().filter(|answer| is_stop(answer)).count();
        if stopped == 0 && looked != *usual && !change.sql.contains("public.events") {
            outcome.believed.push(format!("looks: {looked:?} instead of {usual:?}"));
        }
        outcome.stopped += stopped;
        outcome.noticed |= !self.counted(server.port).await.is_empty();
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
    let told: Vec<String> =
        findings(report).map(|(of, finding)| format!("{of} {finding}")).collect();
    let text = match told.len() {
        0 => report.to_string(),
        count => format!("{count} findings: {}", told[..count.min(3)].join(" ")),
    };
    format!("verify {status}: {}", text.chars().take(600).collect::<String>())
}
