//! MongoDB and Redis: every field of every document and entry changed, exchanged, removed; whole ones removed, doubled, put
//! back older. What is derived is made again from the log, so here a metric, the log of the process, or the comparison tells.

use std::time::{Duration, Instant};

use mongodb::Collection;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, RawDocumentBuf, doc, serialize_to_raw_document_buf};
use projections::read_models::{ReadModel, ReadModels};
use uuid::Uuid;

use super::Settings;
use super::judge::Outcome;
use super::lane::{Lane, Server};
use super::questions::{Answer, Answers, Question, believed};
use super::report::Tally;
use super::stock::{self, Cached, Held};

/// What is done to a store.
enum Deed {
    /// These documents in the place of one.
    Documents { collection: String, remove: String, put: Vec<Document> },
    /// These entries in the place of one.
    Entries { remove: String, put: Vec<Cached>, words: Vec<Vec<String>> },
}

struct Attack {
    name: String,
    deed: Deed,
    /// What must be named: the id of a document, or the kind of an epoch, or a projector.
    id: String,
    harmless: Option<&'static str>,
}

/// The id of a second copy of a document.
const DOUBLE: u128 = 0xd0b1e;

const GONE: &str = "a miss: what is not cached is read from the store";
const EARLIER: &str = "what was written before there were tags counts as a miss";
const LIFE: &str = "how long an entry lives decides nothing";
const EPOCH: &str =
    "without an epoch, or with an earlier genuine one, entries of other epochs are misses";

pub(crate) async fn attack(
    lane: &mut Lane<'_>,
    questions: &[Question],
    settings: &Settings,
    tally: &Tally,
) {
    lane.reset().await;
    let server = lane.serve().await;
    // Twice, so that whatever is made once is there.
    lane.scene.ask_looks(questions, server.port).await;
    let honest = lane.scene.ask_looks(questions, server.port).await;
    let mut attacks = documents(lane);
    attacks.extend(entries(lane));
    let attacks = settings.chosen(attacks, |attack| &attack.name);
    let begin = Instant::now();
    for attack in attacks {
        if !settings.full && settings.only.is_none() && begin.elapsed() > settings.sample {
            break;
        }
        let started = Instant::now();
        let outcome = lane.spoil(&attack, questions, &honest, &server).await;
        tally.note(&attack.name, attack.harmless, &outcome, started.elapsed());
    }
}

/// The checkpoints of the projectors that only a worker reads: moved forward, so that events would be left out.
pub(crate) async fn projectors(lane: &mut Lane<'_>, settings: &Settings, tally: &Tally) {
    const NAME: &str = "mongodb checkpoints of the worker's own moved";
    if settings.only.as_ref().is_some_and(|only| !NAME.contains(only.as_str())) {
        return;
    }
    lane.reset().await;
    let mut moved = Vec::new();
    let of: Collection<RawDocumentBuf> = lane.mongodb.collection("projector_checkpoints");
    for (collection, raw) in &lane.scene.documents {
        if collection == "projector_checkpoints" {
            let mut checkpoint = readable(raw);
            checkpoint.insert("position", 1_000_000_000_i64);
            let checkpoint = serialize_to_raw_document_buf(&checkpoint).expect("BSON");
            let replaced = of.replace_one(doc! { "_id": id_of(raw) }, checkpoint).await;
            replaced.expect("MongoDB answers");
            moved.push(id_of(raw));
        }
    }
    assert!(moved.len() > ReadModel::ALL.len(), "{moved:?}");
    let begin = Instant::now();
    let worker = lane.work();
    loop {
        let counted = lane.counted(worker.port).await;
        let unseen = |id: &&String| {
            let named = format!("projector=\"{id}\"");
            let told = |line: &str| {
                line.starts_with("projector_checkpoint_damaged_total") && line.contains(&named)
            };
            !counted.lines().any(told)
        };
        let unseen: Vec<&String> = moved.iter().filter(unseen).collect();
        if unseen.is_empty() {
            break;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            tally.wrong(format!("ATTACK_ONLY=\"{NAME}\": nobody noticed {unseen:?}"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let outcome = Outcome { made: true, noticed: true, named: true, ..Outcome::default() };
    tally.note(NAME, None, &outcome, begin.elapsed());
}

fn id_of(document: &RawDocumentBuf) -> String {
    document.get_str("_id").unwrap_or_default().to_owned()
}

fn readable(document: &RawDocumentBuf) -> Document {
    Document::try_from(document.as_ref()).expect("a document")
}

/// Other values of a field's type.
fn lies(value: &Bson, other: Option<&Bson>) -> Vec<(&'static str, Option<Bson>)> {
    let binary = |bytes: Vec<u8>| Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes });
    let mut lies = vec![("removed", None), ("null", Some(Bson::Null))];
    match value {
        Bson::Int64(number) => lies.extend([
            ("far", Some(Bson::Int64(number + 1_000_000_000))),
            ("earlier", Some(Bson::Int64(number - 1))),
            ("as text", Some(Bson::String(number.to_string()))),
        ]),
        Bson::String(text) => {
            lies.extend([
                ("mine", Some(Bson::String(format!("{text}x")))),
                ("empty", Some(Bson::String(String::new()))),
            ]);
        }
        Bson::Boolean(yes) => lies.push(("turned", Some(Bson::Boolean(!yes)))),
        Bson::Binary(held) => {
            let mut flipped = held.bytes.clone();
            if let Some(byte) = flipped.last_mut() {
                *byte ^= 1;
            }
            lies.extend([("flipped", Some(binary(flipped))), ("empty", Some(binary(Vec::new())))]);
            if held.bytes.first() == Some(&b'{') {
                let text = String::from_utf8_lossy(&held.bytes)
                    .replace("Attacked", "Attacker")
                    .replace("true", "false");
                lies.push(("mine", Some(binary(text.into_bytes()))));
            }
        }
        Bson::Document(_) => lies.push(("empty", Some(Bson::Document(doc! {})))),
        _ => {}
    }
    if let Some(other) = other {
        lies.push(("another's", Some(other.clone())));
    }
    lies.retain(|(_, lie)| lie.as_ref() != Some(value));
    lies
}

fn documents(lane: &Lane<'_>) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let scene = lane.scene;
    for (collection, raw) in &scene.documents {
        let id = id_of(raw);
        let whole = readable(raw);
        // Only the projectors of the read models are asked about here; the others' checkpoints are the worker's alone.
        let is_checkpoint = collection == "projector_checkpoints";
        if is_checkpoint && !ReadModel::ALL.iter().any(|model| model.projector_id() == id) {
            continue;
        }
        let other = scene.documents.iter().map(|(at, raw)| (at, readable(raw)));
        let other =
            other.filter(|(at, one)| *at == collection && one.get("_id") != whole.get("_id"));
        let other = other.map(|(_, one)| one).next();
        let mut add = |what: String, put: Vec<Document>, harmless: Option<&'static str>| {
            attacks.push(Attack {
                name: format!("mongodb {collection} {what} @{}", scene.called(&id)),
                deed: Deed::Documents { collection: collection.clone(), remove: id.clone(), put },
                id: id.clone(),
                harmless,
            });
        };
        for (field, value) in &whole {
            if field == "_id" {
                continue;
            }
            let others = other.as_ref().and_then(|other| other.get(field));
            for (what, lie) in lies(value, others) {
                let mut changed = whole.clone();
                match lie {
                    Some(lie) => {
                        changed.insert(field.clone(), lie);
                    }
                    None => {
                        changed.remove(field);
                    }
                }
                add(format!("{field} {what}"), vec![changed], None);
            }
        }
        let mut more = whole.clone();
        more.insert("mine", true);
        let unread = "nobody reads the field; it is gone when the projector moves on";
        add("field added".to_owned(), vec![more], is_checkpoint.then_some(unread));
        let again = "the projector reads the log again, which changes nothing that is right";
        add("deleted".to_owned(), Vec::new(), is_checkpoint.then_some(again));
        let mut double = whole.clone();
        double.insert("_id", Uuid::from_u128(DOUBLE).to_string());
        if !is_checkpoint {
            add("doubled".to_owned(), vec![whole.clone(), double], None);
        }
        if let Some(other) = &other {
            let mut taken = other.clone();
            taken.insert("_id", id.clone());
            add("another's whole".to_owned(), vec![taken], None);
        }
        let earlier =
            scene.earlier_documents.iter().find(|(at, one)| at == collection && id_of(one) == id);
        if let Some((_, earlier)) = earlier.filter(|(_, one)| one != raw) {
            let behind = "a read model that is behind: whoever names a later position waits";
            add(
                "put back older".to_owned(),
                vec![readable(earlier)],
                is_checkpoint.then_some(behind),
            );
        }
    }
    attacks
}

fn entries(lane: &Lane<'_>) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let (scene, prefix) = (lane.scene, lane.prefix());
    for entry in &scene.cached {
        let (kind, id) = entry.key.split_once(':').unwrap_or_default();
        let mut add = |what: &str, put: Vec<Cached>, words: Vec<Vec<&str>>, harmless| {
            let words =
                words.iter().map(|words| words.iter().map(|&word| word.to_owned()).collect());
            attacks.push(Attack {
                name: format!("redis {kind} {what} @{}", scene.called(id)),
                deed: Deed::Entries { remove: entry.key.clone(), put, words: words.collect() },
                id: id.to_owned(),
                harmless,
            });
        };
        let with = |value: Held| vec![Cached { key: entry.key.clone(), value }];
        let key = format!("{prefix}:{}", entry.key);
        add("deleted", Vec::new(), Vec::new(), Some(if kind == "epoch" { EPOCH } else { GONE }));
        add("without an end", with(entry.value.clone()), vec![vec!["PERSIST", &key]], Some(LIFE));
        add(
            "ended",
            with(entry.value.clone()),
            vec![vec!["PEXPIRE", &key, "1"]],
            Some(if kind == "epoch" { EPOCH } else { GONE }),
        );
        add("a list", Vec::new(), vec![vec!["RPUSH", &key, "mine"]], None);
        let same = scene
            .cached
            .iter()
            .find(|other| other.key != entry.key && other.key.starts_with(&format!("{kind}:")));
        if let Some(other) = same {
            add("another's whole", with(other.value.clone()), Vec::new(), None);
        }
        let earlier = scene.earlier_cached.iter().find(|other| other.key == entry.key);
        if let Some(earlier) = earlier.filter(|earlier| earlier.value != entry.value) {
            add(
                "put back older",
                with(earlier.value.clone()),
                Vec::new(),
                (kind == "epoch").then_some(EPOCH),
            );
        }
        match &entry.value {
            Held::Text(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                for (what, lie) in [
                    ("far", format!("9{text}")),
                    ("flipped", format!("{}0", text.get(..text.len() - 1).unwrap_or_default())),
                    ("mine", "attacker".to_owned()),
                ] {
                    if lie != text {
                        add(what, with(Held::Text(lie.into_bytes())), Vec::new(), None);
                    }
                }
                let bare = text.split(':').next().unwrap_or_default().to_owned();
                add(
                    "without a tag",
                    with(Held::Text(bare.into_bytes())),
                    Vec::new(),
                    Some(EARLIER),
                );
            }
            Held::Fields(fields) => {
                for (at, (name, value)) in fields.iter().enumerate() {
                    let text = String::from_utf8_lossy(value).into_owned();
                    let mut flipped = value.clone();
                    if let Some(byte) = flipped.last_mut() {
                        *byte ^= 1;
                    }
                    let mine = text.replace("Attacked", "Attacker").replace("true", "false");
                    for (what, lie) in [
                        ("removed", None),
                        ("empty", Some(Vec::new())),
                        ("far", Some(b"1000000000".to_vec())),
                        ("first", Some(b"0".to_vec())),
                        ("flipped", Some(flipped.clone())),
                        ("mine", Some(mine.clone().into_bytes())),
                    ] {
                        let mut changed = fields.clone();
                        match lie {
                            Some(lie) if lie == *value => continue,
                            Some(lie) => changed[at].1 = lie,
                            None => drop(changed.remove(at)),
                        }
                        add(
                            &format!("{name} {what}"),
                            with(Held::Fields(changed)),
                            Vec::new(),
                            None,
                        );
                    }
                }
            }
        }
    }
    attacks
}

impl Lane<'_> {
    /// Makes one change in MongoDB or Redis, looks, and puts everything back.
    async fn spoil(
        &self,
        attack: &Attack,
        questions: &[Question],
        honest: &Answers,
        server: &Server,
    ) -> Outcome {
        let log = self.scene.instance.logs().join(format!("{}.log", self.prefix()));
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        let said_before = read().len();
        let counted_before = self.counted(server.port).await;
        let url = &self.scene.instance.redis_url;
        match &attack.deed {
            Deed::Documents { collection, remove, put } => {
                // What is cached would be read instead.
                stock::put_cached(url, self.prefix(), &[]).await;
                let of: Collection<RawDocumentBuf> = self.mongodb.collection(collection);
                of.delete_one(doc! { "_id": remove }).await.expect("MongoDB answers");
                for one in put {
                    let one = serialize_to_raw_document_buf(one).expect("BSON");
                    of.insert_one(one).await.expect("MongoDB answers");
                }
            }
            Deed::Entries { remove, put, words } => {
                let mut connection = stock::connect(url).await;
                let key = format!("{}:{remove}", self.prefix());
                stock::run(&mut connection, &[b"DEL", key.as_bytes()]).await;
                let mut entries = self.scene.cached.clone();
                entries.retain(|entry| entry.key != *remove);
                entries.extend(put.iter().cloned());
                stock::put_cached(url, self.prefix(), &entries).await;
                for words in words {
                    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
                    stock::run(&mut connection, &words).await;
                }
            }
        }
        let answers = self.scene.ask_looks(questions, server.port).await;
        let stopped =
            answers.values().filter(|answer| matches!(answer, Answer::Stopped(_))).count();
        let told = read().get(said_before..).unwrap_or_default().to_owned();
        let counted = self.counted(server.port).await;
        let news: Vec<&str> = counted
            .lines()
            .filter(|line| !counted_before.lines().any(|before| before == *line))
            .collect();
        let mut noticed = !news.is_empty();
        let double = Uuid::from_u128(DOUBLE).to_string();
        let ids = [attack.id.as_str(), double.as_str()];
        let names = |text: &str| ids.iter().any(|id| text.contains(id));
        let mut named = names(&told) || news.iter().any(|line| names(line));
        let mut said = format!("counted: {}", news.join(" "));
        if let Deed::Documents { collection, .. } = &attack.deed
            && !named
        {
            let compared = self.compared(collection, &attack.id).await;
            noticed |= !compared.is_empty();
            named = names(&compared);
            said = format!("{said}; compared: {compared}");
        }
        self.restock().await;
        let (believed, lacking) = believed(honest, &answers);
        Outcome {
            made: true,
            believed,
            lacking,
            noticed,
            named,
            stopped,
            said,
            ..Outcome::default()
        }
    }

    /// What the comparison with the log finds, as the worker makes it.
    async fn compared(&self, collection: &str, id: &str) -> String {
        let model = ReadModel::ALL
            .into_iter()
            .find(|model| model.projector_id().replace(':', "_v") == collection);
        let (Some(model), Ok(id)) = (model, id.parse::<Uuid>()) else { return String::new() };
        let pool = self.pool().await;
        let instance = &self.scene.instance;
        let models =
            ReadModels::new(self.mongodb.clone(), None, instance.tags(), instance.log_of(&pool));
        let mut found = models.compare_surplus(model).await.expect("the stores answer");
        found.extend(models.compare(model, id).await.expect("the stores answer"));
        pool.close().await;
        let found = found.iter().map(|difference| format!("{} {}", difference.id, difference.why));
        found.collect::<Vec<_>>().join(", ")
    }
}
