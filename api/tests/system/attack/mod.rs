//! Somebody who can write to every store, and has no key, against a live clinic.
//!
//! The question is always the same: is anything that he wrote believed, and does anybody notice? Each attack is made on a copy of one
//! small clinic, while a server runs on it; then everything is asked again, there and at a server that starts afterwards
//! ([`questions`]): each answer is the honest one, or the ledger has stopped. And `ledger audit verify`, or for what is derived a
//! metric, tells where.
//!
//! `make test` runs all plots and a sample of the changes; `make attack` runs everything. `ATTACK_SEED` chooses rows and order,
//! `ATTACK_ONLY` the attacks whose name contains it, `ATTACK_SECONDS` how long the sample takes; `ATTACK_TIMES` prints what takes how long.

mod catalog;
mod changes;
mod judge;
mod lane;
mod plots;
mod questions;
mod report;
mod scene;
mod stock;
mod stores;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use commands::database::Login;
use futures::future::join_all;
use sqlx::{Connection as _, Executor as _};

use changes::Change;
use judge::{Asked, Servers};
use lane::Lane;
use report::Tally;
use scene::{Scene, Who};

use crate::support::Random;
use crate::support::clinic::patient;

/// Copies that are attacked at the same time.
const LANES: usize = 2;

/// How many attacks there are at least, in full.
const AT_LEAST: usize = 400;

/// What was asked for.
struct Settings {
    full: bool,
    seed: u64,
    only: Option<String>,
    /// How long the sample may take, plots apart.
    sample: Duration,
}

impl Settings {
    fn read() -> Settings {
        let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
        let seconds = number("ATTACK_SECONDS").unwrap_or(15);
        Settings {
            full: std::env::var("ATTACK").is_ok_and(|how| how == "full"),
            seed: number("ATTACK_SEED").unwrap_or(13),
            only: std::env::var("ATTACK_ONLY").ok().filter(|only| !only.is_empty()),
            sample: Duration::from_secs(seconds),
        }
    }

    /// In short each change is seen by one server, in full by both.
    fn servers(&self, change: &Change) -> Servers {
        let number = change
            .name
            .bytes()
            .fold(self.seed, |sum, byte| sum.wrapping_mul(3).wrapping_add(u64::from(byte)));
        match (self.full || self.only.is_some(), number % 2) {
            (true, _) => Servers::Both,
            _ if change.of_catalog => Servers::Nobody,
            (false, 0) => Servers::Running,
            (false, _) => Servers::Started,
        }
    }

    /// In another order for each seed, and only what was asked for.
    fn chosen<T>(&self, mut all: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
        let mut random = Random::new(self.seed);
        for last in (1..all.len()).rev() {
            all.swap(last, random.within(0..last as u64 + 1) as usize);
        }
        if let Some(only) = &self.only {
            all.retain(|one| name(one).contains(only.as_str()));
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_to_the_stores_is_not_believed_and_noticed() {
    let settings = Settings::read();
    let begin = Instant::now();
    let scene = Scene::make().await;
    let tally = Tally::new(settings.seed, settings.full);
    tally.say(&format!("the scene stands, {} events, after {:.0?}", scene.size, begin.elapsed()));
    let tables = catalog::tables(&scene.instance.pool).await;
    let all = changes::changes(&scene, &tables, settings.seed);
    covers_everything(&scene, &tables, &all);
    if settings.full && settings.only.is_none() {
        assert!(all.len() >= AT_LEAST, "{} changes are fewer than there were", all.len());
    }
    // Nobody may be connected to what is copied.
    scene.instance.pool.close().await;

    let asked = questions::questions(&scene.ids);
    let mut first = Lane::new(&scene, 0).await;
    let (honest, later) = first.honest(&asked, &tally).await;
    tally.say(&format!("{} questions are answered as meant", asked.len()));
    let asked = Asked { questions: &asked, honest: &honest, later: &later };

    let plots = settings.chosen(plots::plots(&scene), |change| &change.name);
    let mut lanes = vec![first];
    for number in 1..LANES {
        lanes.push(Lane::new(&scene, number).await);
    }
    run(&mut lanes, plots, &asked, &settings, &tally, None).await;
    let changes = settings.chosen(all, |change| &change.name);
    let until =
        (!settings.full && settings.only.is_none()).then(|| Instant::now() + settings.sample);
    run(&mut lanes, changes, &asked, &settings, &tally, until).await;
    let Some(lane) = lanes.first_mut() else { return };
    logins(lane, &asked, &settings, &tally).await;
    ids_of_others(lane, &asked, &settings, &tally).await;
    stores::attack(lane, asked.questions, &settings, &tally).await;
    stores::projectors(lane, &settings, &tally).await;
    for lane in lanes {
        lane.remove().await;
    }
    tally.verdict(begin.elapsed());
}

/// Every table, column, collection and kind of cached entry there is is attacked.
fn covers_everything(scene: &Scene, tables: &[catalog::Table], changes: &[Change]) {
    for table in tables {
        assert!(
            changes::is_known(&table.name),
            "{} is new: say what the audit calls it",
            table.name
        );
        let empty = !scene.rows.iter().any(|row| row.table == table.name);
        let covered = |start: String| changes.iter().any(|change| change.name.starts_with(&start));
        if empty {
            assert!(covered(format!("{} ", table.name)), "nothing is done to {}", table.name);
            continue;
        }
        for (column, kind) in &table.columns {
            let start = format!("{}.{column} ", table.name);
            assert!(covered(start), "nothing is done to {}.{column} ({kind})", table.name);
        }
        for what in ["deleted", "emptied"] {
            assert!(covered(format!("{} {what}", table.name)), "{} is not {what}", table.name);
        }
    }
    let collections: BTreeSet<&str> =
        scene.documents.iter().map(|(collection, _)| collection.as_str()).collect();
    let known = [
        "appointments_v2",
        "patients_v2",
        "practitioners_v1",
        "projector_checkpoints",
        "wounds_v2",
    ];
    assert_eq!(collections, BTreeSet::from(known), "a collection is new, or holds nothing");
    let kind = |key: &str| key.split(':').next().unwrap_or_default().to_owned();
    let kinds: BTreeSet<String> = scene.cached.iter().map(|entry| kind(&entry.key)).collect();
    let known = ["appointment", "epoch", "patient", "practitioner", "wound"].map(str::to_owned);
    assert_eq!(kinds, BTreeSet::from(known), "a kind of cached entry is new, or there is none");
}

/// Makes the changes, a few at a time, until they are done or the time is over.
async fn run(
    lanes: &mut [Lane<'_>],
    changes: Vec<Change>,
    asked: &Asked<'_>,
    settings: &Settings,
    tally: &Tally,
    until: Option<Instant>,
) {
    let waiting = Mutex::new(VecDeque::from(changes));
    let waiting = &waiting;
    let next = move || {
        let is_over = until.is_some_and(|until| Instant::now() >= until);
        waiting.lock().expect("nobody panicked").pop_front().filter(|_| !is_over)
    };
    let work = lanes.iter_mut().map(|lane| async move {
        while let Some(change) = next() {
            let begin = Instant::now();
            let outcome = lane.attack(&change, asked, settings.servers(&change)).await;
            tally.note(&change.name, change.harmless, &outcome, begin.elapsed());
        }
    });
    join_all(work).await;
}

/// A patient registered under the id of an account, and an account under that of a patient, and each erased: nothing becomes of
/// the other.
async fn ids_of_others(lane: &mut Lane<'_>, asked: &Asked<'_>, settings: &Settings, tally: &Tally) {
    let name = "plot ids of others";
    if settings.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
        return;
    }
    lane.reset().await;
    let running = lane.serve().await;
    let scene = lane.scene;
    let (desk, officer) =
        (scene.client(Who::FrontDesk, running.port), scene.client(Who::Officer, running.port));
    let admin = scene.client(Who::Admin, running.port);
    let mut taken = Vec::new();
    for id in [&scene.ids.front_desk, &scene.ids.admin] {
        let mut new = patient("Of-An-Account", "Jorunn", "1952-11-19", &format!("ATT-{id}"));
        new["id"] = serde_json::json!(id);
        let registered = desk.post("/v1/patients", &new).await;
        if registered.status < 300 {
            let path = format!("/v1/patients/{id}/erase");
            officer.post(&path, &scene::erasure()).await.done();
            taken.push(id.clone());
        }
    }
    let account = serde_json::json!({ "id": scene.ids.held, "login": "of-a-patient",
        "display_name": "Mine", "password": scene::MINE });
    admin.post("/v1/accounts", &account).await;
    for server in [&running, &lane.serve().await] {
        let names = ["log-in", "account", "custody", "held patient", "log in as the administrator"];
        let answers = scene.ask_some(asked.questions, server.port, &names).await;
        for wrong in questions::believed(&asked.honest.answers, &answers).0 {
            tally.wrong(format!("ATTACK_ONLY='{name}': taken: {taken:?}: {wrong}"));
        }
        for (name, answer) in answers {
            if let questions::Answer::Stopped(code) = answer {
                tally.wrong(format!("ATTACK_ONLY='{name}': taken: {taken:?}: {name}: {code}"));
            }
        }
    }
}

/// What the product's logins may not do they do not do, and what they tried has changed nothing.
async fn logins(lane: &mut Lane<'_>, asked: &Asked<'_>, settings: &Settings, tally: &Tally) {
    if settings.only.as_ref().is_some_and(|only| !"logins".contains(only.as_str())) {
        return;
    }
    lane.reset().await;
    let running = lane.serve().await;
    for login in Login::ALL {
        for sql in plots::REFUSED {
            let mut connection = lane.login(login).await;
            let done = connection.execute(format!("{sql}; SELECT 1").as_str()).await;
            let begun = format!("{} may not: {sql}", login.role());
            assert!(done.is_err(), "{begun}");
            connection.close().await.expect("Postgres answers");
            tally.refused();
        }
        for sql in plots::WITHOUT_EFFECT {
            let mut connection = lane.login(login).await;
            // With an error or without one: what is asked below is whether it was done.
            let _answer = connection.execute(*sql).await;
            connection.close().await.expect("Postgres answers");
        }
    }
    let (status, report) = lane.verify().await;
    assert_eq!(status, 0, "{report}");
    let answers = lane.scene.ask(asked.questions, running.port).await;
    for (name, answer) in &answers {
        assert_eq!(answer, &asked.honest.answers[name], "{name}");
    }
}
