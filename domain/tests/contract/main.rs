//! What the domain promises to the rest of the product: decisions, claims, events, values.

mod account;
mod appointment;
mod claims;
mod custody;
mod disclosure;
mod events;
mod healing;
mod model;
mod patient;
mod states;
mod support;
mod values;
mod wound;
