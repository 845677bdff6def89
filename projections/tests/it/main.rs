//! The read side against real services: `DATABASE_URL`, `MONGODB_URI` and `REDIS_URL` name them. Each test has a
//! database of its own in Postgres and in Mongo, and a key prefix of its own in Redis.

mod cache;
mod clinic;
mod comparison;
mod counted;
mod damage;
mod damaged_cache;
mod data_keys;
mod erasure;
mod location;
mod practitioner;
mod read_models;
mod registry;
mod runtime;
mod worker;
