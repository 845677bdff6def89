//! What the domain promises to the rest of the product: decisions, claims, events, values.

mod account;
mod appointment;
mod claims;
mod clock;
mod codes;
mod custody;
mod disclosure;
mod events;
mod healing;
mod limits;
mod location;
mod model;
mod outlook;
mod patient;
mod practitioner;
mod quiet;
mod refusals;
mod states;
mod support;
mod times;
mod values;
mod wound;
