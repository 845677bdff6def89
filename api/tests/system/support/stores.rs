//! What stands in MongoDB and Redis, whole.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use mongodb::bson::{RawDocumentBuf, doc};
use serde_json::Value;

/// The collections of the read models.
const COLLECTIONS: [&str; 5] =
    ["patients_v2", "appointments_v2", "wounds_v2", "practitioners_v1", "locations_v1"];

/// Every document of the read models, as bytes, by collection and id.
pub(crate) async fn documents(uri: &str, name: &str) -> BTreeMap<(String, String), Vec<u8>> {
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    let database = client.database(name);
    let mut found = BTreeMap::new();
    for collection in COLLECTIONS {
        let cursor = database.collection::<RawDocumentBuf>(collection).find(doc! {}).await;
        let documents: Vec<_> =
            cursor.expect("a cursor").try_collect().await.expect("the documents");
        for document in documents {
            let id = document.get_str("_id").expect("an id").to_owned();
            found.insert((collection.to_owned(), id), document.into_bytes());
        }
    }
    found
}

/// Every document of every collection, as bytes, whatever it is.
pub(crate) async fn every_document(uri: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    let database = client.database(name);
    let mut found = Vec::new();
    for collection in database.list_collection_names().await.expect("the collections") {
        let cursor = database.collection::<RawDocumentBuf>(&collection).find(doc! {}).await;
        let documents: Vec<_> =
            cursor.expect("a cursor").try_collect().await.expect("the documents");
        found.extend(documents.into_iter().map(|one| (collection.clone(), one.into_bytes())));
    }
    found
}

pub(crate) async fn drop_database(uri: &str, name: &str) {
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    client.database(name).drop().await.expect("the database is dropped");
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("a Redis URL");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

async fn keys(connection: &mut redis::aio::MultiplexedConnection, prefix: &str) -> Vec<String> {
    let keys = redis::cmd("KEYS").arg(format!("{prefix}:*")).query_async(connection).await;
    keys.expect("the keys")
}

/// Every cached document with its position, by key. The epoch is left out: it names the time of filling.
pub(crate) async fn cached(url: &str, prefix: &str) -> BTreeMap<String, (u64, Value)> {
    let mut connection = connect(url).await;
    let mut found = BTreeMap::new();
    for key in keys(&mut connection, prefix).await {
        if key.starts_with(&format!("{prefix}:epoch:")) {
            continue;
        }
        let mut fields = redis::cmd("HMGET");
        let fields = fields.arg(&key).arg("position").arg("document");
        let entry = fields.query_async(&mut connection).await;
        let (position, json): (u64, String) = entry.expect("a cached document");
        found.insert(key, (position, serde_json::from_str(&json).expect("JSON")));
    }
    found
}

fn bytes(value: redis::Value) -> Vec<u8> {
    match value {
        redis::Value::BulkString(bytes) => bytes,
        other => format!("{other:?}").into_bytes(),
    }
}

/// Every value under every key of a prefix, as bytes.
pub(crate) async fn everything_cached(url: &str, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut connection = connect(url).await;
    let mut found = Vec::new();
    for key in keys(&mut connection, prefix).await {
        let is_epoch = key.starts_with(&format!("{prefix}:epoch:"));
        let read = if is_epoch { "GET" } else { "HGETALL" };
        let value = redis::cmd(read).arg(&key).query_async(&mut connection).await;
        let values: Vec<Vec<u8>> = match value.expect("a value") {
            redis::Value::Array(values) => values.into_iter().map(bytes).collect(),
            redis::Value::Map(pairs) => {
                pairs.into_iter().flat_map(|(name, value)| [bytes(name), bytes(value)]).collect()
            }
            value => vec![bytes(value)],
        };
        found.push((key, values.join(&b'\n')));
    }
    found
}

/// Removes every key of a prefix: what FLUSHALL does to a Redis that is not shared.
pub(crate) async fn flush(url: &str, prefix: &str) {
    let mut connection = connect(url).await;
    for key in keys(&mut connection, prefix).await {
        let removed = redis::cmd("DEL").arg(key).query_async::<()>(&mut connection).await;
        removed.expect("a key is removed");
    }
}
