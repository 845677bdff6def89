//! What MongoDB and Redis hold, whole, to be kept, changed and put back.

use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{RawDocumentBuf, doc};
use redis::aio::MultiplexedConnection;

/// An entry of the cache, by what follows the prefix in its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cached {
    pub(crate) key: String,
    pub(crate) value: Held,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Held {
    Text(Vec<u8>),
    Fields(Vec<(String, Vec<u8>)>),
}

pub(crate) async fn database(uri: &str, name: &str) -> Database {
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    client.database(name)
}

/// Every document of every collection, with the collection's name.
pub(crate) async fn documents(uri: &str, name: &str) -> Vec<(String, RawDocumentBuf)> {
    of(&database(uri, name).await).await
}

pub(crate) async fn of(database: &Database) -> Vec<(String, RawDocumentBuf)> {
    let mut found = Vec::new();
    for collection in database.list_collection_names().await.expect("the collections") {
        let documents = database.collection::<RawDocumentBuf>(&collection).find(doc! {}).await;
        let documents: Vec<_> =
            documents.expect("a cursor").try_collect().await.expect("the documents");
        found.extend(documents.into_iter().map(|one| (collection.clone(), one)));
    }
    found.sort_by_key(|(collection, one)| {
        (collection.clone(), one.get_str("_id").unwrap_or_default().to_owned())
    });
    found
}

/// Makes a database hold these documents and no others.
pub(crate) async fn put_documents(database: &Database, documents: &[(String, RawDocumentBuf)]) {
    let held = of(database).await;
    for (collection, one) in &held {
        if !documents.contains(&(collection.clone(), one.clone())) {
            let id = one.get("_id").expect("a document").expect("an id");
            let id = mongodb::bson::Bson::try_from(id).expect("BSON");
            let removed = database.collection::<RawDocumentBuf>(collection);
            removed.delete_one(doc! { "_id": id }).await.expect("MongoDB answers");
        }
    }
    for (collection, one) in documents {
        if !held.contains(&(collection.clone(), one.clone())) {
            let put = database.collection::<RawDocumentBuf>(collection).insert_one(one).await;
            put.expect("MongoDB answers");
        }
    }
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a Redis URL");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

pub(crate) async fn run(connection: &mut MultiplexedConnection, words: &[&[u8]]) {
    let (name, rest) = words.split_first().expect("a command");
    let mut command = redis::cmd(std::str::from_utf8(name).expect("text"));
    for word in rest {
        command.arg(*word);
    }
    let _answer: redis::Value = command.query_async(connection).await.expect("Redis answers");
}

/// Every key of a prefix.
pub(crate) async fn cached(url: &str, prefix: &str) -> Vec<Cached> {
    let mut connection = connect(url).await;
    let keys = redis::cmd("KEYS").arg(format!("{prefix}:*")).query_async(&mut connection).await;
    let mut keys: Vec<String> = keys.expect("the keys");
    keys.sort();
    let mut found = Vec::new();
    for key in keys {
        let kind = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await;
        let kind: String = kind.expect("a type");
        let value = match kind.as_str() {
            "string" => {
                let text = redis::cmd("GET").arg(&key).query_async(&mut connection).await;
                Held::Text(text.expect("a text"))
            }
            "hash" => {
                let fields = redis::cmd("HGETALL").arg(&key).query_async(&mut connection).await;
                Held::Fields(fields.expect("fields"))
            }
            // None of ours; it has a key all the same.
            other => Held::Text(other.as_bytes().to_vec()),
        };
        let key = key.strip_prefix(&format!("{prefix}:")).expect("the prefix").to_owned();
        found.push(Cached { key, value });
    }
    found
}

/// Makes a prefix hold these entries and no others.
pub(crate) async fn put_cached(url: &str, prefix: &str, entries: &[Cached]) {
    let mut connection = connect(url).await;
    for held in cached(url, prefix).await {
        run(&mut connection, &[b"DEL", format!("{prefix}:{}", held.key).as_bytes()]).await;
    }
    for entry in entries {
        let key = format!("{prefix}:{}", entry.key);
        match &entry.value {
            Held::Text(text) => run(&mut connection, &[b"SET", key.as_bytes(), text]).await,
            Held::Fields(fields) => {
                let mut words: Vec<&[u8]> = vec![b"HSET", key.as_bytes()];
                for (name, value) in fields {
                    words.extend([name.as_bytes(), value.as_slice()]);
                }
                run(&mut connection, &words).await;
            }
        }
    }
}
